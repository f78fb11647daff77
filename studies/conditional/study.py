"""How good a conditional model is on unseen members: `halocline study conditional CONFIG`.

States are drawn at the conditions of the states of each test member and each member outside the
range of the training parameters, and compared with that member's own states. Statistical emulators
and the nearest training member stand beside them. With `evaluation.seeds`, states of further
sampling seeds are judged as well. Drawing resumes; see `studies.conditional.draws`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.run import Run
from data.conditions import Conditions
from evaluation.canvas import save_figure
from evaluation.provenance import provenance
from studies.conditional.draws import Draws, draw_all
from studies.conditional.figures import error_profiles, response
from studies.conditional.inversion import ParameterRegression
from studies.conditional.judging import judge_drawn, judge_member
from studies.conditional.outcome import Outcome
from studies.conditional.prepared import Prepared
from studies.conditional.rows import LABELS, StandIns
from studies.conditional.seeds import over_seeds
from training.log import write_json


def run(run: Run, *, output: Path | None = None, figures: Path | None = None) -> dict[str, Any]:
    """Judge a trained conditional model on unseen members; write the result and two figures.

    output: JSON file (default: docs/results/conditional_NAME.json); figures: folder (default:
    docs/figures). Raises `UserError` for a model without conditions, or an archive without unseen
    test members.
    """
    name = f"conditional_{run.settings.name}"
    output = output or Path("docs") / "results" / f"{name}.json"
    figures = figures or Path("docs") / "figures"
    content = evaluate(run)
    write_json(output, content)
    save_figure(error_profiles(content), figures / f"{name}_profiles.png")
    save_figure(response(content), figures / f"{name}_response.png")
    print(f"wrote {output}")
    return content


def evaluate(run: Run) -> dict[str, Any]:
    """All results, ready for JSON."""
    given, pipeline = Prepared.of(run), run.pipeline()
    draws = _draws_by_seed(run, given.conditions)
    first, *further = draws
    stand_ins = StandIns.of(
        run.archive, given.context, given.training, unseen=given.unseen, draws=draws[first]
    )
    inversion = ParameterRegression.of(given.training)
    judged = {
        first: [
            judge_member(one, stand_ins, pipeline=pipeline, inversion=inversion)
            for one in tqdm(given.unseen, desc="judging", unit="member")
        ]
    }
    for seed in tqdm(further, desc="further seeds", unit="seed", disable=None):
        others = replace(stand_ins, draws=draws[seed])
        judged[seed] = [judge_drawn(one, others, inversion=inversion) for one in judged[first]]
    outcomes = {
        seed: Outcome.of(found, given, draws[seed]).as_dict() for seed, found in judged.items()
    }
    return {
        "kind": "conditional",
        "experiment": run.settings.name,
        "depth_m": run.archive.grid.depth.tolist(),
        "labels": LABELS,
        "training_members": len(given.training.members),
        "regressors": stand_ins.choices(),
        **outcomes[first],
        "seeds": over_seeds(outcomes) if further else None,
        "members": {one.member.name: one.as_dict(stand_ins) for one in judged[first]},
        "provenance": provenance(seeds={"sampling": first}),
    }


def _draws_by_seed(run: Run, conditions: Mapping[str, Conditions]) -> dict[int, Draws]:
    """The generated states of each sampling seed, the run's own first."""
    folder = run.directory / "conditional"
    draws = {run.settings.sampling.seed: draw_all(run, conditions, folder=folder)}
    for further in run.of_further_seeds:
        seed = further.settings.sampling.seed
        draws[seed] = draw_all(further, conditions, folder=folder / f"seed_{seed}")
    return draws
