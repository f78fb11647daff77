"""Comparison of guidance methods on the same trained networks: `halocline study guidance STUDY`.

Every method generates the same number of states from the same seeds. States are evaluated against
held-out states, before and after exact adjustment. Finished points are not repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tqdm import tqdm

from autoencoder.codec import Codec
from configs.run import Run
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.conditions import Conditions
from data.errors import UserError
from data.state import State
from evaluation.canvas import save_figure
from evaluation.figures import meridional_sections
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.metrics.stability import overturning_columns_percent
from evaluation.provenance import provenance
from evaluation.rows import evaluation_context, yardsticks
from evaluation.yardsticks import ROW_NAMES
from guidance.stratification import adjust
from latent_diffusion.noise import member_generator
from studies.guidance.figures import accuracy_against_cost, trade_off, w1_by_level
from studies.guidance.metrics import (
    adjustment_moves,
    distance_in_stds,
    temperature_salinity_distance,
    thermocline_variance,
    w1_profiles,
)
from studies.guidance.settings import GuidanceStudy, Point
from training.log import write_json

AS_DRAWN, ADJUSTED = "as drawn", "adjusted"
UNGUIDED = "unguided"  # the reference method of variance ratios, if the study has it


@dataclass(frozen=True)
class Judge:
    """Evaluates ensembles against held-out states of an archive.

    conditions: of the truth's states; None for a model without
    """

    archive: StateArchive
    codec: Codec
    truth: State
    context: EvaluationContext
    conditions: Conditions | None

    @classmethod
    def of(cls, run: Run, *, split: str) -> Judge:
        """The judge for a split of the run's archive."""
        archive, codec = run.archive, run.pipeline().codec
        codec.check_archive(archive)
        rows = spread_out(archive.indices(split), run.settings.evaluation.states)
        settings, conditions = run.settings.conditions, None
        if settings is not None:
            # With the expected mean, as the product of a run is judged.
            conditions = replace(Conditions.of(archive, rows, settings), certain=True)
        return cls(archive, codec, archive.read(rows), evaluation_context(archive), conditions)

    @cached_property
    def truth_metrics(self) -> dict[str, float]:
        """Metrics of the truth: ratios are 1 and distances 0."""
        return self.metrics(self.truth, adjusted=self.adjusted(self.truth))

    @cached_property
    def yardsticks(self) -> dict[str, dict[str, float]]:
        """Metrics of the floor and of the classical baselines, by the names of their rows."""
        rows = yardsticks(self.context, count=len(self.truth))
        return {
            ROW_NAMES[name]: self.metrics(state, adjusted=self.adjusted(state))
            for name, state in rows.items()
        }

    def metrics(self, state: State, *, adjusted: State) -> dict[str, float]:
        """All metrics of an ensemble, including the effect of adjustment."""
        grid, eos = self.context.grid, self.context.eos
        return {
            **evaluate_row(state, self.truth, self.context),
            "overturning_columns_percent": overturning_columns_percent(state, grid, eos),
            **thermocline_variance(state, self.truth, grid),
            "temperature_salinity_distance": temperature_salinity_distance(state, self.truth, grid),
            "adjustment_moves_std": distance_in_stds(state, adjusted, self.codec.statistics),
            **adjustment_moves(state, adjusted, grid),
        }

    def adjusted(self, state: State) -> State:
        """The states after exact convective adjustment."""
        return adjust(state, eos=self.context.eos, grid=self.context.grid)


def compare_guidance(
    study: GuidanceStudy, *, split: str, only: Sequence[str] = (), draw: bool = True
) -> Path:
    """Generate and evaluate the points of a study; returns the path of study_SPLIT.json.

    only: names of methods; default: all. draw: False summarises the finished points only. Raises
    `UserError` for an unknown method.
    """
    unknown = sorted(set(only) - set(study.methods))
    if unknown:
        raise UserError(
            f"the study has no method {', '.join(unknown)}; it has {', '.join(study.methods)}"
        )
    judges: dict[str, Judge] = {}
    points = [point for point in study.points if point.method in only or not only]
    for point in tqdm(points if draw else [], desc="guiding", unit="ensemble"):
        if _finished(study, point, split) is None:
            if point.space not in judges:
                judges[point.space] = Judge.of(Run(point.experiment), split=split)
            run_point(study, point, judges[point.space], split=split)
    return summarise(study, split=split)


def run_point(study: GuidanceStudy, point: Point, judge: Judge, *, split: str) -> None:
    """Generate and evaluate the ensemble of a point; draws sections for the first seed."""
    state, seconds = draw_timed(Run(point.experiment), conditions=judge.conditions)
    adjusted = judge.adjusted(state)
    result = {
        "record": _record(point),
        "settings": point.experiment.guidance.model_dump(mode="json"),
        "seconds_per_member": seconds / len(state),
        AS_DRAWN: judge.metrics(state, adjusted=adjusted),
        ADJUSTED: judge.metrics(adjusted, adjusted=adjusted),
        "truth": judge.truth_metrics,
        "yardsticks": judge.yardsticks,
        "depth_m": judge.context.grid.depth.tolist(),
        "w1_profiles": w1_profiles(state, judge.truth, judge.context.grid),
    }
    if point.seed == study.settings.seeds[0]:
        rows = {"truth": judge.truth, point.method: state}
        figure = meridional_sections(rows, judge.context.grid, judge.context.eos)
        save_figure(figure, study.directory / "sections" / f"{point.name}.png")
    write_json(_metrics_path(study, point, split), result)


def draw_timed(run: Run, *, conditions: Conditions | None = None) -> tuple[State, float]:
    """An ensemble before adjustment, and the processor time [s] of its sampling.

    conditions: of states, which the members of a conditional model have in turn
    """
    pipeline = run.placed_pipeline()
    guide = run.guide(pipeline.codec) if run.settings.guidance.enabled else None
    settings, states, seconds = run.settings.sampling, [], 0.0
    for first in range(0, settings.members, settings.batch_size):
        members = range(first, min(first + settings.batch_size, settings.members))
        generators = [member_generator(settings.seed, member) for member in members]
        given = conditions and conditions.at([member % len(conditions) for member in members])
        start = time.process_time()
        state = pipeline.draw(generators=generators, guide=guide, conditions=given).state
        seconds += time.process_time() - start
        states.append(state.map(lambda field: field.cpu()))
    return State.cat(states), seconds


def summarise(study: GuidanceStudy, *, split: str) -> Path:
    """Write study_SPLIT.json with means and spreads over seeds, and the figures."""
    rows: dict[str, dict[str, Any]] = {}
    truths: dict[str, dict[str, float]] = {}
    floors: dict[str, dict[str, dict[str, float]]] = {}
    depths: dict[str, list[float]] = {}
    for point in study.points:
        result = _finished(study, point, split)
        if result is None:
            continue
        truths[point.space], depths[point.space] = result["truth"], result["depth_m"]
        floors[point.space] = result["yardsticks"]
        row = rows.setdefault(
            "-".join(part for part in (point.space, point.method, point.label) if part),
            {"space": point.space, "method": point.method, "label": point.label, "results": {}},
        )
        row["results"][point.seed] = result
    summary = {name: _over_seeds(row, rows) for name, row in rows.items()}
    content: dict[str, object] = {
        "kind": "guidance",
        "title": study.settings.title,
        "split": split,
        "members": study.settings.members,
        "seeds": list(study.settings.seeds),
        "truth": truths,
        "yardsticks": floors,
        "depth_m": depths,
        "methods": {name: method.title or name for name, method in study.methods.items()},
        "shown": study.shown,
        "points": summary,
        "provenance": provenance(seeds={"sampling": study.settings.seeds[0]}),
    }
    path = study.directory / f"study_{split}.json"
    write_json(path, content)
    if summary:
        save_figure(trade_off(content), study.directory / f"trade_off_{split}.png")
        save_figure(accuracy_against_cost(content), study.directory / f"cost_{split}.png")
        save_figure(w1_by_level(content), study.directory / f"w1_by_level_{split}.png")
    return path


def _over_seeds(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of a row's metrics over its seeds."""
    results = list(row["results"].values())
    identity = {name: row[name] for name in ("space", "method", "label")}
    return identity | {
        "seeds": len(results),
        "seconds_per_member": _spread([result["seconds_per_member"] for result in results]),
        **{
            kind: {
                key: _spread([result[kind][key] for result in results]) for key in results[0][kind]
            }
            | _variance_of_unguided(row, rows.get(f"{row['space']}-{UNGUIDED}"), kind)
            for kind in (AS_DRAWN, ADJUSTED)
        },
        "w1_profiles": _mean_profiles([result["w1_profiles"] for result in results]),
    }


def _mean_profiles(profiles: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Mean over seeds at each level."""
    return {
        name: [mean(level) for level in zip(*(each[name] for each in profiles), strict=True)]
        for name in profiles[0]
    }


def _variance_of_unguided(
    row: dict[str, Any], unguided: dict[str, Any] | None, kind: str
) -> dict[str, list[float | None]]:
    """Mean variances relative to those of the unguided samples of the same seeds."""
    if unguided is None or not set(row["results"]) <= set(unguided["results"]):
        return {}
    guided = [result[kind] for result in row["results"].values()]
    reference = [unguided["results"][seed][AS_DRAWN] for seed in row["results"]]

    def quotient(key: str) -> float | None:
        ours, theirs = (_spread([each[key] for each in group])[0] for group in (guided, reference))
        return ours / theirs if ours is not None and theirs else None

    return {
        key.replace("variance_ratio", "variance_of_unguided"): [quotient(key), None]
        for key in guided[0]
        if key.startswith("variance_ratio")
    }


def _finished(study: GuidanceStudy, point: Point, split: str) -> dict[str, Any] | None:
    """Metrics of a point, None if missing, without yardsticks, or of another model or settings."""
    path = _metrics_path(study, point, split)
    if not path.is_file():
        return None
    result = json.loads(path.read_text())
    return result if result.get("record") == _record(point) and "yardsticks" in result else None


def _record(point: Point) -> str:
    """Model and settings that determine a point's metrics, as JSON."""
    run = Run(point.experiment)
    record = json.loads(run.sampling_record(guided=run.settings.guidance.enabled))
    return json.dumps(record | {"truth_states": run.settings.evaluation.states})


def _spread(values: Sequence[float | None]) -> list[float | None]:
    """Mean and standard deviation; the latter is None for one value, both for missing values."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return [None, None]
    return [mean(known), stdev(known) if len(known) > 1 else None]


def _metrics_path(study: GuidanceStudy, point: Point, split: str) -> Path:
    return study.directory / "points" / f"{point.name}-{split}.json"
