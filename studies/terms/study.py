"""Comparison of training terms at equal training time: `halocline study terms STUDY`.

Every variant is trained with the same seeds, in the wall-clock time of the baseline without a term,
and generates unguided states from the same noise. Finished points are not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from autoencoder.passing import reconstructed
from data.archive.mapped import joined
from data.archive.splits import spread_out
from data.errors import UserError
from data.state import State
from evaluation.columns import TRUTH
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.provenance import provenance
from evaluation.rows import evaluation_context, yardsticks
from studies.terms.metrics import bound_metrics
from studies.terms.points import STAGES, Points
from studies.terms.settings import Point, TermsStudy
from training.log import write_json

OUTPUT = Path("docs/results/terms.json")
EQUAL_TIME = (
    "wall-clock seconds of the training steps; a variant has the samples that fit into the "
    "baseline's time, from steps of both that took turns before the training"
)
AUTOENCODED = "autoencoded: "  # begins the keys of metrics of encoded and decoded states


class Judge:
    """Evaluates the points of a study against held-out states, each once."""

    def __init__(self, points: Points, *, split: str) -> None:
        self.points, self.split = points, split
        archive = points.archive
        self._held_out = spread_out(archive.indices(split), points.study.base.evaluation.states)
        self._record = {"archive": archive.digest, "truth_states": len(self._held_out)}

    @cached_property
    def truth(self) -> State:
        """The held-out states."""
        return self.points.archive.read(self._held_out)

    @cached_property
    def context(self) -> EvaluationContext:
        """Grid, equation of state and training states."""
        return evaluation_context(self.points.archive)

    def rows(self) -> dict[str, dict[str, float]]:
        """Metrics of the truth, of the floor and of the classical baselines."""

        def measured() -> dict[str, dict[str, float]]:
            floor = yardsticks(self.context, count=len(self.truth))
            return {name: self._metrics(row) for name, row in ({TRUTH: self.truth} | floor).items()}

        return self._once("rows", {}, measured)

    def metrics(self, point: Point) -> dict[str, float]:
        """Metrics of the states of a point that is made; with those of its codec if it has one."""

        def measured() -> dict[str, float]:
            metrics = self._metrics(self.points.states(point))
            if not self.points.has_own_codec(point):
                return metrics
            again = reconstructed(self.points.codec(point), self.truth)
            decoded = self._metrics(joined(again, count=len(self.truth)))
            return metrics | {AUTOENCODED + key: value for key, value in decoded.items()}

        return self._once(point.name, self.points.record(point), measured)

    def _metrics(self, state: State) -> dict[str, float]:
        near = bound_metrics(state, self.truth, self.context.grid, bound=self.points.bound)
        return evaluate_row(state, self.truth, self.context) | near

    def _once(self, name: str, record: Mapping[str, object], measure: Any) -> Any:
        """The metrics in a file of the study, measured if it is missing or of other settings."""
        path = self.points.study.directory / "metrics" / f"{name}-{self.split}.json"
        wanted = json.loads(json.dumps(self._record | {"states": dict(record)}, default=str))
        known = json.loads(path.read_text()) if path.is_file() else {}
        if known.get("record") != wanted:
            write_json(path, {"record": wanted, "metrics": measure()})
            known = json.loads(path.read_text())
        return known["metrics"]


def compare_terms(
    study: TermsStudy,
    *,
    split: str = "validation",
    only: Sequence[str] = (),
    train: bool = True,
    output: Path = OUTPUT,
) -> Path:
    """Train, sample and evaluate the points of a study; writes `output` and returns it.

    only: names of variants; default: all. train: False evaluates only the points that are made.
    Raises `UserError` for an unknown variant.
    """
    unknown = sorted(set(only) - set(study.variants))
    if unknown:
        raise UserError(
            f"the study has no variant {', '.join(unknown)}; it has {', '.join(study.variants)}"
        )
    points = Points(study)
    judge = Judge(points, split=split)
    chosen = [point for point in study.points if point.variant in only or not only]
    for point in tqdm(chosen if train else [], desc="training", unit="point"):
        points.make(point)
        judge.metrics(point)
    write_json(output, summary(judge))
    return output


def summary(judge: Judge) -> dict[str, object]:
    """Metrics of the rows and, for each variant, a value of each metric for every finished seed."""
    points, study = judge.points, judge.points.study
    made: dict[str, list[Point]] = {}
    for point in study.points:
        if points.is_made(point):
            made.setdefault(point.variant, []).append(point)
    variants = {name: _variant(judge, name, made[name]) for name in study.variants if name in made}
    return {
        "kind": "terms",
        "title": study.settings.title,
        "experiment": study.base.name,
        "split": judge.split,
        "members": study.settings.members,
        "seeds": list(study.settings.seeds),
        "samples_of_baseline": study.settings.samples.model_dump(),
        "equal_time": EQUAL_TIME,
        "bound_degC": points.bound,
        "rows": judge.rows(),
        "variants": variants,
        "provenance": provenance(seeds={"first": study.settings.seeds[0]}),
    }


def _variant(judge: Judge, name: str, made: Sequence[Point]) -> dict[str, object]:
    """Settings, calibration, and lists over the seeds of metrics and cost of a variant."""
    points = judge.points
    metrics = [judge.metrics(point) for point in made]
    costs = [points.training(point) for point in made]
    return {
        "terms": points.study.variants[name].model_dump(mode="json", exclude_none=True),
        "seeds": [point.seed for point in made],
        "calibration": {stage: points.calibration(stage, name) for stage in STAGES},
        "training": {stage: _over_seeds([cost[stage] for cost in costs]) for stage in STAGES},
        "metrics": _over_seeds(metrics),
    }


def _over_seeds(values: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A list over the seeds for each key."""
    return {key: [each[key] for each in values] for key in values[0]}
