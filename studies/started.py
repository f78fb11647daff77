"""Integrations from states of a study, one for each row and point, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from data.state import State
from evaluation.columns import Column
from integration.integrate import TRUTH, IntegrationResult, Integrations, Starts, integrate_states
from integration.member_run import ROUNDING, MemberRun, load_arrays, save_run
from integration.points import Points
from integration.settings import IntegrationSettings
from integration.study import conditions_of, distances_from_truth, starts_of

RECORD_DAYS = 15.0  # so that the first month has two records
FIRST_MONTH = 30.0 / 360.0  # years
FIELDS = ("temperature", "salinity")
RUNS = (
    Column("blown_up", "blown up"),
    Column("drift_K", "drift in five years", "K", target=0.0),
    Column("shock_percent", "kinetic energy in the first month, from the truth's", "%", target=0.0),
    Column("distance_K", "level means in the last year, from the truth's", "K", target=0.0),
)


def keep_states(path: Path, states: Mapping[str, State]) -> None:
    """Write the first state of each row to an .npz file."""
    arrays = {
        f"{name}.{field}": getattr(state, field)[:1].float().numpy()
        for name, state in states.items()
        for field in FIELDS
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_run(path, arrays)


def kept_states(path: Path) -> dict[str, State]:
    """The states `1 z y x` that `keep_states` wrote, by row."""
    stored = load_arrays(path)
    names = dict.fromkeys(key.partition(".")[0] for key in stored)
    return {
        name: State(*(torch.from_numpy(stored[f"{name}.{field}"]) for field in FIELDS))
        for name in names
    }


def integrated(
    rows: Sequence[Mapping[str, State]],
    points: Points,
    *,
    settings: IntegrationSettings,
    years: float,
    directory: Path,
) -> IntegrationResult:
    """Runs of `years` from the states of each label at each point, one after the other; resumes.

    rows: by point, states `1 z y x` by label
    """
    starts = {
        label: Starts([starts_of(point[label])[0] for point in rows], years) for label in rows[0]
    }
    plan = Integrations(
        starts=starts,
        conditions=conditions_of(points, settings),
        directory=directory,
        velocities=settings.velocities,
        record_days=RECORD_DAYS,
        checkpoint_years=1.0,
    )
    return integrate_states(plan, workers=1)


def scores_of_runs(result: IntegrationResult) -> dict[str, dict[str, float | int | None]]:
    """By label: runs that blew up, and means over the others of drift, shock and distance."""
    truth = {run.index: run for run in result.of(TRUTH)}
    summary = result.summary()
    found: dict[str, dict[str, float | int | None]] = {}
    for label in result.labels:
        pairs = [(run, truth[run.index]) for run in result.of(label) if run.index in truth]
        shocks = [first_month(run, true) for run, true in pairs if run.survived]
        apart = [x for x in distances_from_truth(result, label) if x is not None]
        found[label] = {
            "blown_up": summary[label]["blown_up"],
            "drift_K": summary[label]["drift_K"],
            "shock_percent": float(np.mean(shocks)) if shocks and label != TRUTH else None,
            "distance_K": float(np.mean(apart)) if apart else None,
        }
    return found


def first_month(run: MemberRun, truth: MemberRun) -> float:
    """Largest difference of kinetic energy from the truth's run in the first month [%].

    Both begin with the velocities that the settings name, so that what differs is what the model
    makes of temperature and salinity. The start itself, which has no flow yet, does not count.
    """
    records = (run.time > ROUNDING) & (run.time <= FIRST_MONTH + ROUNDING)
    ours, theirs = run.kinetic_energy[records], truth.kinetic_energy[: len(run.time)][records]
    return 100 * float(np.abs(ours / theirs - 1).max())
