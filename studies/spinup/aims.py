"""What a start is meant to reach, at the points within the range of the training members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from integration.drift import FIRST, HIGH, LOW, annual, distance
from integration.integrate import TRUTH
from integration.member_run import FloatArray, MemberRun
from studies.spinup.analysis import Analysis
from studies.spinup.distances import FLOOR, NEAREST

YEARS = {"second": FIRST, "tenth": 9}  # positions of the years in which distances are judged
SETTLED = slice(FIRST, 10)  # years in which circulation is judged
CHANNEL = "channel_transport"
CIRCULATION = (CHANNEL, "kinetic_energy")
Runs = Mapping[int, MemberRun]  # by point


def aims(
    analysis: Analysis, *, inside: int, year_seconds: float, sampling_seconds: float
) -> dict[str, dict[str, Any]]:
    """By start, what is aimed at: medians over points, and shares of all points and years.

    inside: number of the points within the range, which come first; year_seconds,
    sampling_seconds: processor time of a simulated year and of a state [s]

    Years and costs are those after which the run from the nearest member is as near to the truth's
    as that of the start in its second year, and stays so; `..._reached` is False for bounds. Its
    long runs count where there are any.
    """
    labels = analysis.result.labels
    runs = {label: _survived(analysis, analysis.result.of(label), inside) for label in labels}
    apart = {label: _distances(analysis, found) for label, found in runs.items() if label != TRUTH}
    longest = _distances(analysis, _survived(analysis, analysis.longest(NEAREST), inside))
    table = {}
    for label, found in apart.items():
        if not found:
            continue
        row: dict[str, Any] = {"points": len(found)}
        for year, position in YEARS.items():
            for name, other in (("floor", FLOOR), ("nearest", NEAREST)):
                row[f"{year}_to_{name}"] = _ratio(found, apart.get(other, {}), position)
        for series in CIRCULATION:
            row[f"{series}_inside_percent"] = _inside(runs, label, series)
        row["channel_transport_error_Sv"] = _error(runs[label], runs[TRUTH], CHANNEL)
        saved = _nearest_years(found, longest) if label != NEAREST else None
        if saved is not None:
            years, reached = saved
            seconds = sampling_seconds + FIRST * year_seconds
            row |= {"nearest_years": years, "nearest_cost": years * year_seconds / seconds}
            row |= {"nearest_reached": reached}
        table[label] = row
    return table


def _survived(analysis: Analysis, runs: Iterable[MemberRun], inside: int) -> dict[int, MemberRun]:
    return {run.index: run for run, _ in analysis.pairs(runs) if run.index < inside}


def _distances(analysis: Analysis, runs: Runs) -> dict[int, FloatArray]:
    """By point, the distance from the truth's run of level-mean T in each year, `year` [K]."""
    pairs = ((run, analysis.truth[point]) for point, run in runs.items())
    return {
        run.index: distance(run.until(truth.years), truth.until(run.years), "temperature")
        for run, truth in pairs
    }


def _ratio(
    found: Mapping[int, FloatArray], other: Mapping[int, FloatArray], year: int
) -> float | None:
    """Median of the ratio in a year, over the points that both have."""
    ratios = [
        one[year] / other[point][year]
        for point, one in found.items()
        if point in other and min(len(one), len(other[point])) > year
    ]
    return float(np.median(ratios)) if ratios else None


def _inside(runs: Mapping[str, Runs], label: str, series: str) -> float | None:
    """Share of annual means within the 5 to 95 % range of those of the own states' runs [%].

    These are the runs of the truth and of the floor at the same point.
    """
    shares = []
    for point, run in runs[label].items():
        own = [runs[name].get(point) for name in (TRUTH, FLOOR) if name in runs]
        values = np.concatenate([_annual(one, series) for one in own if one is not None])
        low, high = np.percentile(values, [LOW, HIGH])
        mine = _annual(run, series)
        shares.append(np.mean((mine >= low) & (mine <= high)))
    return 100 * float(np.mean(shares)) if shares else None


def _error(runs: Runs, truth: Runs, series: str) -> float:
    """Mean over points of the absolute error of a mean over years."""
    errors = [
        _annual(run, series).mean() - _annual(truth[point], series).mean()
        for point, run in runs.items()
    ]
    return float(np.abs(errors).mean())


def _annual(run: MemberRun, series: str) -> FloatArray:
    return annual(run.time, run.series[series])[SETTLED]


def _nearest_years(
    found: Mapping[int, FloatArray], nearest: Mapping[int, FloatArray]
) -> tuple[float, bool] | None:
    """Median of the years that runs from the nearest member need, and whether they reach it.

    The median is a bound if the middle run, or one of two, does not come as near.
    """
    needed = []
    for point in found.keys() & nearest.keys():
        exceeds = nearest[point] > found[point][FIRST]
        last = int(np.flatnonzero(exceeds)[-1]) + 1 if exceeds.any() else 0
        needed.append((max(last, FIRST), last < len(exceeds)))
    if not needed:
        return None
    # Of equally long ones a bound is the longer.
    needed.sort(key=lambda one: (one[0], not one[1]))
    middle = needed[(len(needed) - 1) // 2 : len(needed) // 2 + 1]
    return float(np.mean([years for years, _ in middle])), all(reached for _, reached in middle)
