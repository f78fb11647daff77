"""Other ways to draw at given conditions: `halocline study ablations CONFIG`.

One network that draws whole states end to end, and classifier-free guidance of the experiment's
own network. Their states are judged as in `studies.conditional.study`, and are drawn from the same
noise as its rows. Training and drawing resume.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.run import Run
from data.archive.reader import StateArchive
from evaluation.provenance import provenance
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.sample import draw_adjusted, weights_digest
from studies.conditional.columns import Row, Truth, course_of, judge
from studies.conditional.draws import EXPECTED_ADJUSTED, Draws, draw_all, join
from studies.conditional.end_to_end import train_end_to_end
from studies.conditional.members import Member
from studies.conditional.prepared import Prepared
from studies.conditional.rows import LABELS, TRUTH
from studies.conditional.strengthened import StrengthenedPipeline
from studies.conditional.summary import summarise
from training.log import write_json

END_TO_END = "end_to_end"
STRENGTHS = (1.5, 3.0)
ABLATION_LABELS = {
    TRUTH: LABELS[TRUTH],
    EXPECTED_ADJUSTED: "expectation and residual (ours)",
    END_TO_END: "end to end",
    **{f"strength_{s:g}": f"ours, conditions strengthened {s:g} times" for s in STRENGTHS},
}


def run(run: Run, *, output: Path | None = None) -> dict[str, Any]:
    """Judge the alternatives on unseen members; all rows are guided and adjusted.

    output: JSON file (default: docs/results/ablations_NAME.json). Raises `UserError` for a model
    without conditions, or an archive without unseen test members.
    """
    output = output or Path("docs") / "results" / f"ablations_{run.settings.name}.json"
    content = evaluate(run)
    write_json(output, content)
    print(f"wrote {output}")
    return content


def evaluate(run: Run) -> dict[str, Any]:
    """All results, ready for JSON."""
    given = Prepared.of(run)
    own = draw_all(run, given.conditions, folder=run.directory / "conditional")
    others = draw_alternatives(run, given, folder=run.directory / "ablations")
    draws = Draws({EXPECTED_ADJUSTED: own.archives[EXPECTED_ADJUSTED], **others}, own.places)
    members = {
        one.name: dict(_judged(run, one, draws, given))
        for one in tqdm(given.unseen, desc="judging", unit="member")
    }
    splits = {one.name: one.split for one in given.unseen}
    return {
        "kind": "conditional",
        "experiment": run.settings.name,
        "labels": ABLATION_LABELS,
        "summary": {
            split: summarise([rows for name, rows in members.items() if splits[name] == split])
            for split in dict.fromkeys(splits.values())
        },
        "members": members,
        "provenance": provenance(seeds={"sampling": run.settings.sampling.seed}),
    }


def draw_alternatives(run: Run, given: Prepared, *, folder: Path) -> dict[str, StateArchive]:
    """The states of each alternative, drawn into a folder at the conditions of the study."""
    joined = replace(join(list(given.conditions.values())), certain=True)
    sampling = run.settings.sampling.model_copy(update={"members": len(joined)})
    run = run.with_settings(sampling=sampling)
    ensemble = run.ensemble(guided=True, conditions=joined)
    model = train_end_to_end(run, folder)
    pipelines: dict[str, Callable[[], StatePipeline]] = {
        END_TO_END: lambda: run.pipeline_in(model),
        **{f"strength_{s:g}": _strengthened(run, s) for s in STRENGTHS},
    }
    archives = {}
    for name, pipeline in pipelines.items():
        weights = weights_digest(model) if name == END_TO_END else run.weights
        record = json.dumps({**json.loads(ensemble.record), "row": name, "weights": weights})
        path = folder / f"{name}.zarr"
        draw_adjusted(replace(ensemble, pipeline=pipeline, record=record), output=path)
        archives[name] = StateArchive.open(path)
    return archives


def _strengthened(run: Run, strength: float) -> Callable[[], StatePipeline]:
    return lambda: StrengthenedPipeline.around(run.pipeline(), strength=strength)


def _judged(run: Run, member: Member, draws: Draws, given: Prepared) -> Iterator[tuple[str, Row]]:
    """The columns of each row for a member, the truth first."""
    truth = Truth(run.archive.read(member.indices), given.context)
    course = course_of(given.training.space, given.conditions[member.name])
    yield TRUTH, judge(truth.states, truth)
    for row in draws.archives:
        yield row, judge(draws.read(row, member.name), truth, course=course)
