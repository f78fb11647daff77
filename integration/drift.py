"""Drift of integrations, the year in which they settle, and their distance from the truth's.

All measures use annual means of the horizontal mean at each level, so the season does not count
as drift. Year 1 is the first after the start. Currents and season adjust in it from any state, so
drift is measured after it.
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
STRETCH = 5  # windows on end that decide whether a run has settled
LOW, HIGH = 5.0, 95.0  # percentiles: the range of an ensemble
FIRST = 1  # years after the start from which on drift counts


def annual(time: FloatArray, values: FloatArray) -> FloatArray:
    """Means over whole years `year ...` of a series `t ...` recorded at `time` [years].

    A record belongs to the year that ends with or after it; the start belongs to none.
    """
    years = int(time[-1] + ROUNDING)
    year = np.ceil(time - ROUNDING).astype(int)
    means = [values[year == number + 1].mean(axis=0) for number in range(years)]
    return np.array(means) if means else np.empty((0, *values.shape[1:]))


def level_drift(run: MemberRun, field: str) -> FloatArray:
    """Change `z` of level means after the first year, from the second year to the last whole one.

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
    """Rate of change [field's unit per year] in each window of years, by the year it begins, `w`.

    The rms over the levels of the slope that fits the annual means of `window` years best. The
    first window begins `FIRST` years after the start.
    """
    means = annual(run.time, getattr(run, field))[FIRST:]
    year = np.arange(window) - 0.5 * (window - 1)
    weights = year / (year**2).sum()
    slopes = [weights @ means[k : k + window] for k in range(len(means) - window + 1)]
    return np.array([rms_over_levels(slope, run) for slope in slopes])


@dataclass(frozen=True)
class Criterion:
    """A run has settled when it changes no faster than runs from the truth's own states.

    limits: by field, the largest allowed rate of change per year; window: years in which a rate is
    measured. A run has settled in a year if none of the `STRETCH` windows that begin in that year
    and those that follow it exceeds a limit.
    """

    limits: dict[str, float]
    window: int

    @classmethod
    def of_truth(cls, truth: Sequence[MemberRun], *, window: int = WINDOW) -> Criterion:
        """Limits that 95 % of all stretches of windows of the true runs keep within.

        They are infinite if no true run is long enough.
        """
        limits = {}
        for field in FIELDS:
            found = np.concatenate([_stretches(rates(run, field, window=window)) for run in truth])
            limits[field] = float(np.percentile(found, HIGH)) if found.size else np.inf
        return cls(limits, window)

    @property
    def known(self) -> bool:
        """Whether the true runs were long enough to set limits."""
        return bool(np.isfinite(list(self.limits.values())).all())

    def can_tell(self, run: MemberRun) -> bool:
        """Whether the run is long enough to determine whether it has settled."""
        return self.known and len(rates(run, FIELDS[0], window=self.window)) >= STRETCH

    def years_of(self, run: MemberRun) -> float | None:
        """Years after the start at which the run has settled, at the earliest `FIRST`.

        None if it has not settled, diverged, or is too short.
        """
        if not run.held or not self.can_tell(run):
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
    """The largest rate in each `STRETCH` windows on end."""
    if len(rate) < STRETCH:
        return np.empty(0)
    return sliding_window_view(rate, STRETCH).max(axis=1)


def distance(run: MemberRun, truth: MemberRun, field: str) -> FloatArray:
    """Rms over levels `year` of the difference in annual level means between a run and the truth's.

    Both run under the same forcing, so the remaining difference comes from their starts. Years that
    both runs have.
    """
    one, other = (annual(r.time, getattr(r, field)) for r in (run, truth))
    years = min(len(one), len(other))
    return rms_over_levels(one[:years] - other[:years], run)


def spread(values: Sequence[float] | FloatArray) -> dict[str, float] | None:
    """Mean and 5-95 % range over the members; None without members (ready for JSON)."""
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    if not found.size:
        return None
    low, high = np.percentile(found, [LOW, HIGH])
    return {"mean": float(found.mean()), "low": float(low), "high": float(high)}


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two ranges have values in common."""
    return one["low"] <= other["high"] and other["low"] <= one["high"]
