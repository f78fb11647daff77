"""Drift of integrations, time to equilibrium, and distance from the reference runs (the truth).

All measures use annual means of the horizontal mean at each level, so the seasonal cycle does not
count as drift. Drift is measured after year 1, in which currents adjust from any start state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from integration.member_run import ROUNDING, MemberRun

FloatArray = NDArray[np.float64]
FIELDS = ("temperature", "salinity")
WINDOW = 5  # years over which a rate of change is measured
STRETCH = 5  # consecutive windows that decide whether a run has settled
LOW, HIGH = 5.0, 95.0  # percentiles that bound the range of an ensemble
FIRST = 1  # years after the start before drift is measured


def annual(time: FloatArray, values: FloatArray) -> FloatArray:
    """Annual means `year ...` of a series `t ...` recorded at `time` [years]; complete years only.

    A record belongs to the year that ends at or after it. The start belongs to no year.
    """
    years = int(time[-1] + ROUNDING)
    year = np.ceil(time - ROUNDING).astype(int)
    means = [values[year == number + 1].mean(axis=0) for number in range(years)]
    return np.array(means) if means else np.empty((0, *values.shape[1:]))


def level_drift(run: MemberRun, field: str) -> FloatArray:
    """Change `z` of level means from the second year to the last complete year.

    field: "temperature" [K] or "salinity" [g/kg]; NaN with fewer than three years
    """
    means = annual(run.time, getattr(run, field))
    if len(means) < FIRST + 2:
        return np.full(run.temperature.shape[1], np.nan)
    return means[-1] - means[FIRST]


def rms_over_levels(values: FloatArray, run: MemberRun) -> FloatArray:
    """Thickness-weighted rms over the levels of values `... z`."""
    return np.sqrt(values**2 @ run.level_weights)


def rates(run: MemberRun, field: str, *, window: int = WINDOW) -> FloatArray:
    """Rate of change `w` [field's unit per year] in each window of `window` years.

    The rms over levels of the least-squares slope of the annual means. The first window begins
    `FIRST` years after the start.
    """
    means = annual(run.time, getattr(run, field))[FIRST:]
    year = np.arange(window) - 0.5 * (window - 1)
    weights = year / (year**2).sum()
    slopes = [weights @ means[k : k + window] for k in range(len(means) - window + 1)]
    return np.array([rms_over_levels(slope, run) for slope in slopes])


@dataclass(frozen=True)
class Criterion:
    """A run has settled when it changes no faster than the reference runs.

    limits: maximum rate of change per year, by field; window: years over which a rate is measured.
    A run has settled in a year if the `STRETCH` consecutive windows from that year on stay within
    the limits.
    """

    limits: dict[str, float]
    window: int

    @classmethod
    def of_truth(cls, truth: Sequence[MemberRun], *, window: int = WINDOW) -> Criterion:
        """Limits that 95 % of all stretches of the reference runs satisfy.

        Infinite if no reference run is long enough.
        """
        limits = {}
        for field in FIELDS:
            largest = np.concatenate(
                [_stretches(rates(run, field, window=window)) for run in truth]
            )
            limits[field] = float(np.percentile(largest, HIGH)) if largest.size else np.inf
        return cls(limits, window)

    @property
    def known(self) -> bool:
        """Whether the reference runs were long enough to set limits."""
        return bool(np.isfinite(list(self.limits.values())).all())

    def applies_to(self, run: MemberRun) -> bool:
        """Whether the run is long enough to determine whether it has settled."""
        return self.known and len(rates(run, FIELDS[0], window=self.window)) >= STRETCH

    def years_of(self, run: MemberRun) -> float | None:
        """Years from the start until the run has settled, at least `FIRST`.

        None if it has not settled, has diverged or is too short.
        """
        if not run.survived or not self.applies_to(run):
            return None
        within = np.all(
            [
                _stretches(rates(run, field, window=self.window)) <= self.limits[field]
                for field in FIELDS
            ],
            axis=0,
        )
        return float(FIRST + np.argmax(within)) if within.any() else None


def _stretches(rate: FloatArray) -> FloatArray:
    """Maximum rate in each `STRETCH` consecutive windows."""
    if len(rate) < STRETCH:
        return np.empty(0)
    return sliding_window_view(rate, STRETCH).max(axis=1)


def distance(run: MemberRun, truth: MemberRun, field: str) -> FloatArray:
    """Rms over levels, `year`, of the difference in annual level means between two runs.

    Both have the same forcing, so the difference comes from their start states. Covers the years
    of the shorter run.
    """
    one, other = (annual(each.time, getattr(each, field)) for each in (run, truth))
    years = min(len(one), len(other))
    return rms_over_levels(one[:years] - other[:years], run)


def spread(values: Sequence[float] | FloatArray) -> dict[str, float] | None:
    """Mean and 5-95 % range of the finite values, ready for JSON; None without any."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, [LOW, HIGH])
    return {"mean": float(finite.mean()), "low": float(low), "high": float(high)}


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two ranges overlap."""
    return one["low"] <= other["high"] and other["low"] <= one["high"]
