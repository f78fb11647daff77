"""Other ways to draw at given conditions: `halocline study ablations CONFIG`.

A network that draws whole states end to end, and classifier-free guidance of it and of the
experiment's own network. Their states are judged as in `studies.conditional.study`, and are drawn
from the same noise as its rows. Training and drawing resume.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
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
STRENGTHENED = {  # rows of classifier-free guidance: the row whose network it is, and the strength
    "strength_3": (EXPECTED_ADJUSTED, 3.0),
    "end_to_end_1.5": (END_TO_END, 1.5),
    "end_to_end_3": (END_TO_END, 3.0),
}
ABLATION_LABELS = {
    TRUTH: LABELS[TRUTH],
    EXPECTED_ADJUSTED: "ours",
    "strength_3": "ours, conditions strengthened 3 times",
    END_TO_END: "end to end",
    "end_to_end_1.5": "end to end, conditions strengthened 1.5 times",
    "end_to_end_3": "end to end, conditions strengthened 3 times",
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
    networks = {EXPECTED_ADJUSTED: run.model_folder, END_TO_END: model}
    archives = {}
    for name, (network, strength) in {END_TO_END: (END_TO_END, 1.0), **STRENGTHENED}.items():
        pipeline = partial(_strengthened, run, networks[network], strength)
        record = {"row": name, "weights": weights_digest(networks[network])}
        path = folder / f"{name}.zarr"
        drawn = replace(
            ensemble, pipeline=pipeline, record=json.dumps(json.loads(ensemble.record) | record)
        )
        draw_adjusted(drawn, output=path)
        archives[name] = StateArchive.open(path)
    return archives


def _strengthened(run: Run, model: Path, strength: float) -> StatePipeline:
    """The model in a folder with classifier-free guidance; none with a strength of 1."""
    pipeline = run.pipeline_in(model)
    return pipeline if strength == 1 else StrengthenedPipeline.around(pipeline, strength=strength)


def _judged(run: Run, member: Member, draws: Draws, given: Prepared) -> Iterator[tuple[str, Row]]:
    """The columns of each row for a member, the truth first."""
    truth = Truth(run.archive.read(member.indices), given.context)
    course = course_of(given.training.space, given.conditions[member.name])
    yield TRUTH, judge(truth.states, truth)
    for row in draws.archives:
        yield row, judge(draws.read(row, member.name), truth, course=course)
