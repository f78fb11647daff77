"""Adjustment of kinetic energy after a start at rest and after a balanced start.

    halocline study spinup cold_start configs/quickstart.yaml --states 2 --days 60

Held-out states start the basin twice under the same forcing. Kinetic energy is given in percent of
its equilibrium, the mean over the last `days` of a year that began at rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from configs.run import Run
from data.basin.forcing import DAYS_PER_YEAR
from data.errors import UserError
from evaluation.provenance import provenance
from integration.integrate import (
    FirstVelocities,
    FloatArray,
    Integrations,
    Starts,
    integrate_states,
)
from integration.member_run import MemberRun
from integration.study import conditions_of, integration_settings, points_of, starts_of
from training.log import print_json

RECORD_DAYS = 2.0  # the quickstart's tracer step


def cold_starts(run: Run, *, states: int, days: float) -> dict[str, dict[str, float]]:
    """`swing` for each kind of initial velocities, averaged over `states` held-out states.

    Finished runs are not repeated. Raises `UserError` without a basin, for too many states, for
    more than 180 days, and if the basin diverges.
    """
    if not 0 < days <= DAYS_PER_YEAR / 2:
        raise UserError(f"--days must be between 1 and 180, and is {days:g}")
    runs = {kind: _runs(run, kind, states, days) for kind in get_args(FirstVelocities)}
    settled = [_mean_energy(run, after=DAYS_PER_YEAR - days) for run in runs["rest"]]
    return {
        kind: _means(
            [swing(_energy(run, days), level) for run, level in zip(started, settled, strict=True)]
        )
        for kind, started in runs.items()
    }


def swing(energy: FloatArray, settled: float) -> dict[str, float]:
    """Statistics of kinetic energy `t` [m2/s2], in percent of its equilibrium `settled`.

    start: first value; mean, lowest, highest: over the series; rms_departure: rms difference from
    100; rise_and_fall: sum of absolute changes between records, at least 100 - start
    """
    share = 100 * energy / settled
    return {
        "start_percent": float(share[0]),
        "mean_percent": float(share.mean()),
        "lowest_percent": float(share.min()),
        "highest_percent": float(share.max()),
        "rms_departure_percent": float(np.sqrt(((share - 100) ** 2).mean())),
        "rise_and_fall_percent": float(np.abs(np.diff(share)).sum()),
        "settled_m2_s2": settled,
    }


def _runs(run: Run, kind: FirstVelocities, states: int, days: float) -> list[MemberRun]:
    settings, points = integration_settings(run), points_of(run)
    if not 0 < states <= len(points):
        raise UserError(
            f"the study has {len(points)} points; give --states between 1 and {len(points)}, or "
            "more --integration.points.test"
        )
    conditions = conditions_of(points, settings)[:states]
    study = Integrations(
        starts={
            kind: Starts(
                starts_of(points.archive.read(points.index[:states])),
                years=1.0 if kind == "rest" else days / DAYS_PER_YEAR,
            )
        },
        conditions=conditions,
        directory=run.directory / "cold_start",
        velocities=kind,
        record_days=RECORD_DAYS,
    )
    runs = integrate_states(study, workers=settings.workers).runs
    if not all(run.survived for run in runs):
        raise UserError(f"the basin diverged after a start with velocities {kind}")
    return runs


def _energy(run: MemberRun, days: float) -> FloatArray:
    """Kinetic energy [m2/s2] of the first `days`, both ends included."""
    return run.kinetic_energy[run.time * DAYS_PER_YEAR < days + 0.5 * RECORD_DAYS]


def _mean_energy(run: MemberRun, *, after: float) -> float:
    return float(run.kinetic_energy[run.time * DAYS_PER_YEAR >= after].mean())


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def run(run: Run, *, states: int = 2, days: float = 60.0, output: Path | None = None) -> None:
    """Start the basin at rest and in balance, and print the statistics as JSON."""
    result: dict[str, object] = {
        "states": states,
        "days": days,
        "cold_starts": cold_starts(run, states=states, days=days),
        "kind": "cold_starts",
        "provenance": provenance(seeds={"integration": integration_settings(run).seed}),
    }
    print_json(result, output)
