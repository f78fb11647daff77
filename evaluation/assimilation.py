"""Draws states that agree with observations, and reports how well they do.

The chain is corrected by the observations (`latent_diffusion.posterior`), then guided, and its
states are adjusted. How far they are from the observations is reported after each of the three, and
for the prior: states of the same noise at known conditions, without observations.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

from configs.assimilation import Observed
from configs.run import Run
from data.archive.mapped import read_mapped
from data.archive.reader import StateArchive
from data.atomic import atomic_write
from data.conditions import Conditions
from data.observations import Observations
from data.points import read_points
from data.salinity import salinity_of
from evaluation.assimilation_figures import (
    Moments,
    conditions_figure,
    increment_figure,
    innovation_figure,
    section_figure,
)
from evaluation.canvas import save_figure
from evaluation.columns import Value
from evaluation.drawn import PHYSICS, condition_notes, estimates, physics
from evaluation.innovations import COLUMNS, Innovations
from evaluation.provenance import facts, provenance
from evaluation.report import write_report
from latent_diffusion.inference import Weighted
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.points import conditions_at
from latent_diffusion.posterior import check_size
from latent_diffusion.sample import adjust_archive, draw
from training.launch import on_main

PRIOR, UPDATED, GUIDED, ADJUSTED = "prior", "updated", "guided", "guided_adjusted"
STATES = "states.zarr"  # the product: the last row
FloatArray = np.ndarray


@dataclass(frozen=True)
class Drawn:
    """Archives of the ensembles by row, and what unknown conditions were drawn from."""

    paths: dict[str, Path]
    candidates: Weighted | None


def assimilate(
    run: Run,
    *,
    files: Sequence[Path],
    output: Path,
    at: Sequence[str] = (),
    extrapolate: bool = False,
    withhold: float = 0.0,
    convert: bool = False,
    leave_out: bool = False,
) -> Path:
    """Draw an ensemble of states given the observations in `files`; returns the report.

    Writes into the folder `output`: `states.zarr`, the guided and adjusted states; the ensembles
    before; `observations.csv`, `summary.json`, figures and `report.html`. Finished batches are
    kept, so that an interrupted run resumes.

    at: conditions that are known; others are drawn from their posterior
    withhold: share of the profiles that are kept back for verification
    convert, leave_out: see `configs.assimilation.Observed.read`

    Raises `UserError` for files that do not fit the model, for more observations than fit in
    memory, and for conditions that the model does not have.
    """
    pipeline = run.placed_pipeline()
    everything = Observed.read(
        run, files, codec=pipeline.codec, convert=convert, leave_out=leave_out
    )
    observed, withheld = everything.without(withhold, seed=run.settings.sampling.seed)
    check_size(len(observed.observations), pipeline.codec)  # before anything is drawn
    drawn = _draw(observed, pipeline, output=output, at=at, extrapolate=extrapolate)
    report = output / "report.html"
    on_main(lambda: _report(observed, withheld, pipeline, drawn, output=output))
    return report


def _draw(
    observed: Observed,
    pipeline: StatePipeline,
    *,
    output: Path,
    at: Sequence[str],
    extrapolate: bool,
) -> Drawn:
    run = observed.run
    members = run.settings.sampling.members
    paths = {name: output / f"{name}.zarr" for name in (PRIOR, UPDATED, GUIDED)}
    paths[ADJUSTED] = output / STATES
    conditions, candidates = observed.conditions(
        pipeline, at, members=members, extrapolate=extrapolate
    )
    prior = _prior_conditions(run, pipeline, at, extrapolate=extrapolate)
    draw(run.ensemble(guided=False, conditions=prior), output=paths[PRIOR])
    draw(observed.ensemble(guided=False, conditions=conditions), output=paths[UPDATED])
    draw(observed.ensemble(guided=True, conditions=conditions), output=paths[GUIDED])
    adjust_archive(paths[GUIDED], paths[ADJUSTED])
    return Drawn(paths, candidates)


def _prior_conditions(
    run: Run, pipeline: StatePipeline, at: Sequence[str], *, extrapolate: bool
) -> Conditions | None:
    if pipeline.expectation is None:
        return None
    return conditions_at(
        read_points(at) if at else [{}],
        expectation=pipeline.expectation,
        members=run.settings.sampling.members,
        seed=run.settings.sampling.seed,
        extrapolate=extrapolate,
    )


def _report(
    observed: Observed,
    withheld: Observations | None,
    pipeline: StatePipeline,
    drawn: Drawn,
    *,
    output: Path,
) -> None:
    run, archives = observed.run, {n: StateArchive.open(p) for n, p in drawn.paths.items()}

    def against(observations: Observations) -> dict[str, Innovations]:
        covariance = observed.error_covariance(observations)
        error = np.sqrt(np.diag(covariance))
        return {
            name: Innovations.of(archive, observations, error) for name, archive in archives.items()
        }

    rows = against(observed.observations)
    table = {name: row.summary() | _physics(archives[name]) for name, row in rows.items()}
    verification = against(withheld) if withheld is not None else {}
    table |= {f"{name}, kept back": row.summary() for name, row in verification.items()}
    summary = {
        "observations": len(observed.observations),
        "left_out": observed.left_out,
        "kept_back": len(withheld) if withheld is not None else 0,
        "members": run.settings.sampling.members,
        "rows": table,
        "conditions": estimates(drawn.candidates),
    }
    _write_text(output / "summary.json", json.dumps(summary, indent=1))
    _write_observations(output / "observations.csv", rows)
    figures = _save_figures(
        output / "figures", rows | _last(verification), archives, drawn.candidates, pipeline
    )
    write_report(
        output / "report.html",
        title=f"{run.settings.title or run.settings.name}: states given observations",
        metrics={name.replace("guided_adj", "guided, adj"): row for name, row in table.items()},
        columns=[*COLUMNS, *PHYSICS],
        figures=figures,
        notes=_notes(summary),
        facts=facts(provenance(seeds={"sampling": run.settings.sampling.seed})),
        salinity=salinity_of(archives[PRIOR].equation_of_state),
        config_text=yaml.safe_dump(run.settings.assimilation.model_dump(mode="json")),
    )


def _last(rows: Mapping[str, Innovations]) -> dict[str, Innovations]:
    """The product's row among those of observations that were kept back."""
    return {f"{ADJUSTED}, kept back": rows[ADJUSTED]} if rows else {}


def _save_figures(
    folder: Path,
    rows: Mapping[str, Innovations],
    archives: Mapping[str, StateArchive],
    candidates: Weighted | None,
    pipeline: StatePipeline,
) -> list[tuple[Path, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    grid, observations = archives[PRIOR].grid, rows[PRIOR].observations
    before, after = (Moments.of(archives[name]) for name in (PRIOR, ADJUSTED))
    makers: list[tuple[str, Callable[[], Figure], str]] = [
        (
            "increments",
            lambda: increment_figure(before, after, grid, observations),
            "Temperature: mean of the states given the observations, what the observations (dots) "
            "change, and the spread of the members before and after.",
        ),
        (
            "sections",
            lambda: section_figure(before, after, grid),
            "Zonal means: change by the observations, and spread of the members.",
        ),
        (
            "innovations",
            lambda: innovation_figure(rows),
            "Above: innovations over spread and error, against a normal distribution. Below: ranks "
            "of the observations among the members, flat if these are a fair sample. Observations "
            "that were used are nearer than independent ones.",
        ),
    ]
    if candidates is not None and pipeline.expectation is not None:
        ranges = pipeline.expectation.space.ranges
        makers.append(
            (
                "conditions",
                lambda: conditions_figure(candidates, ranges),
                "Probability of the conditions that were not given, over their range.",
            )
        )
    return [(save_figure(make(), folder / f"{name}.png"), text) for name, make, text in makers]


def _physics(archive: StateArchive) -> dict[str, Value]:
    states = read_mapped(archive, range(len(archive)), folder=archive.path.parent)
    return physics(states, archive.grid, equation=archive.equation_of_state)


def _notes(summary: Mapping[str, object]) -> list[str]:
    notes = [
        f"{summary['observations']} observations are used, {summary['kept_back']} are kept back "
        f"for verification, {summary['left_out']} were missing or lie where the grid has no water. "
        f"{summary['members']} states are drawn."
    ]
    conditions = summary["conditions"]
    assert isinstance(conditions, dict)
    return [*notes, *condition_notes(conditions)]


def _write_observations(path: Path, rows: Mapping[str, Innovations]) -> None:
    """A CSV with a row for each observation, and mean and spread of the members at it."""
    observations = rows[PRIOR].observations
    columns = {one.name: getattr(observations, one.name) for one in fields(observations)}
    columns["error_with_representation"] = rows[PRIOR].error
    for name, row in rows.items():
        columns[f"{name}_mean"] = row.seen.mean(axis=0)
        columns[f"{name}_spread"] = row.spread
    with atomic_write(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for values in zip(*columns.values(), strict=True):
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
