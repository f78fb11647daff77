"""The integration study of an experiment: start states of the basin at held-out parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from autoencoder.passing import decoded
from configs.run import Run
from data.archive.reader import StateArchive
from data.errors import UserError
from data.state import State
from guidance.seawater import equation_of_state
from guidance.settings import GuidanceSettings
from guidance.stratification import adjust
from integration.drift import distance
from integration.integrate import (
    TRUTH,
    Conditions,
    IntegrationResult,
    Integrations,
    Start,
    Starts,
    finished,
    integrate_states,
)
from integration.member_run import MemberRun
from integration.points import FIRST_FREE_YEAR, Points
from integration.settings import IntegrationSettings, StartSettings
from latent_diffusion.sample import draw, draw_adjusted
from training.launch import on_main

GENERATED = "generated"


def integration_study(run: Run, *, only: Sequence[str] = ()) -> IntegrationResult:
    """Integrate the states of the configuration; resumes where it was interrupted.

    Processes draw the states together. The first one integrates, with `workers` of its own.

    only: labels to integrate; default: all. Raises `UserError` for an unknown label.
    """
    settings = integration_settings(run)
    study = planned(run, only=only)
    on_main(lambda: integrate_states(study, workers=settings.workers))
    return finished_study(run)


def finished_study(run: Run) -> IntegrationResult:
    """The finished runs of the labels whose states have been generated."""
    starts = integration_settings(run).starts
    drawn = [label for label in starts if _is_drawn(run, label)]
    return finished(planned(run, only=drawn)) if drawn else IntegrationResult([], {})


def planned(run: Run, *, only: Sequence[str] = ()) -> Integrations:
    """The study's starts and conditions; generates missing states."""
    settings = integration_settings(run)
    unknown = sorted(set(only) - set(settings.starts))
    if unknown:
        raise UserError(
            f"the study has no starts {', '.join(unknown)}; it has {', '.join(settings.starts)}"
        )
    points = points_of(run)
    chosen = {name: kind for name, kind in settings.starts.items() if name in only or not only}
    return Integrations(
        starts={
            label: Starts(
                _states(run, label, kind, points)[: kind.members],
                kind.years,
                kind.long_members,
                kind.long_years,
            )
            for label, kind in chosen.items()
        },
        conditions=conditions_of(points, settings),
        directory=study_directory(run),
        velocities=settings.velocities,
        checkpoint_years=settings.checkpoint_years,
    )


def study_directory(run: Run) -> Path:
    """Directory of the study's runs."""
    return integration_settings(run).directory or run.directory / "integration"


def points_of(run: Run) -> Points:
    """The points of the study. Raises `UserError` if the archive has too few."""
    wanted = integration_settings(run).points
    assert run.settings.conditions is not None, "checked with the section integration"
    return Points.of(run.archive, run.settings.conditions, test=wanted.test, outside=wanted.outside)


def conditions_of(points: Points, settings: IntegrationSettings) -> list[Conditions]:
    """Parameters, forcing seed and start year of the runs at each point."""
    parameters = points.parameters(tracer_step_days=settings.tracer_step_days)
    return [
        Conditions(of_point, settings.seed + k, float(FIRST_FREE_YEAR + season))
        for k, (of_point, season) in enumerate(zip(parameters, points.season, strict=True))
    ]


def summary(result: IntegrationResult) -> dict[str, object]:
    """Results of a study for `metrics.json`: of the generated states and of every label.

    distances_K: of a label's runs from those of the truth, see `distances_from_truth`; distance_K:
    their mean
    """
    by_start = {
        label: values | _distances(result, label) for label, values in result.summary().items()
    }
    generated = by_start.get(GENERATED, {})
    keys = ("members", "years", "blown_up", "drift_ratio_to_truth")
    return {**{key: generated.get(key) for key in keys}, "by_start": by_start}


def _distances(result: IntegrationResult, label: str) -> dict[str, object]:
    found = distances_from_truth(result, label)
    known = [distance for distance in found if distance is not None]
    return {"distance_K": float(np.mean(known)) if known else None, "distances_K": found}


def distances_from_truth(result: IntegrationResult, label: str) -> list[float | None]:
    """Distance of each of a label's runs from the truth's in the last year both have [K].

    See `integration.drift.distance`. None without a complete year, and if either blew up; empty for
    the truth itself.
    """
    truth = {run.index: run for run in result.of(TRUTH) if run.survived}
    return [_distance(run, truth.get(run.index)) for run in result.of(label) if label != TRUTH]


def _distance(run: MemberRun, truth: MemberRun | None) -> float | None:
    if truth is None or not run.survived:
        return None
    distances = distance(run, truth, "temperature")
    return float(distances[-1]) if len(distances) else None


def integration_settings(run: Run) -> IntegrationSettings:
    """The section `integration`; raises `UserError` if the experiment cannot be integrated."""
    if run.settings.integration is None or run.settings.conditions is None:
        raise UserError(
            f"{run.settings.name} has no ocean model to integrate; add the sections integration "
            "and conditions, as in configs/quickstart.yaml"
        )
    return run.settings.integration


def _states(run: Run, label: str, kind: StartSettings, points: Points) -> Sequence[Start]:
    archive, count = points.archive, len(points)
    if kind.states == "analytic":
        return [None] * count
    if kind.states == "generated":
        return starts_of(_generated(run, label, kind, points))
    if kind.states == "expected":
        return starts_of(_expected(run, points))
    if kind.states == "training_mean":
        return starts_of(training_mean(archive)) * count
    rows = {"own": points.index, "another": points.another, "nearest_member": points.nearest}
    return starts_of(archive.read(rows[kind.states]))


def training_mean(archive: StateArchive) -> State:
    """The mean of all training states, as one state."""
    states = archive.read(archive.indices("train"))
    return states.map(lambda field: field.double().mean(dim=0, keepdim=True))


@torch.no_grad()
def _expected(run: Run, points: Points) -> State:
    """The decoded expectation at each point, exactly adjusted: what regression alone says."""
    pipeline = run.pipeline()
    latents = pipeline.expectation.mean(points.at_equilibrium)
    state = State.cat([*decoded(pipeline.codec, latents, at_once=len(latents))])
    eos = equation_of_state(run.archive.equation_of_state)
    return adjust(state, eos=eos, grid=run.archive.grid)


def _generated(run: Run, label: str, kind: StartSettings, points: Points) -> State:
    """One state for each point; generated if it does not exist yet."""
    guidance, output = _guidance(run, kind), _sample_path(run, label)
    seed = run.settings.sampling.seed if kind.seed is None else kind.seed
    sampling = run.settings.sampling.model_copy(update={"members": len(points), "seed": seed})
    settled = run.with_settings(sampling=sampling, guidance=guidance)
    ensemble = settled.ensemble(guided=guidance.enabled, conditions=points.at_equilibrium)
    (draw_adjusted if guidance.adjust else draw)(ensemble, output=output)
    return StateArchive.open(output).read(range(len(points)))


def _guidance(run: Run, kind: StartSettings) -> GuidanceSettings:
    """The guidance of a label; by default the experiment's, with exact adjustment."""
    return kind.guidance or run.settings.guidance.model_copy(update={"adjust": True})


def _sample_path(run: Run, label: str) -> Path:
    return study_directory(run) / "samples" / f"{label}.zarr"


def _is_drawn(run: Run, label: str) -> bool:
    kind = integration_settings(run).starts[label]
    if kind.states == "expected":
        return run.weights is not None
    return kind.states != "generated" or _sample_path(run, label).exists()


def starts_of(states: State) -> list[Start]:
    """Temperature [degC] and salinity [g/kg] `z y x` of each state."""
    return [
        (temperature.double().numpy(), salinity.double().numpy())
        for temperature, salinity in zip(states.temperature, states.salinity, strict=True)
    ]
