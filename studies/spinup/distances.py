"""How far from the truth's runs those of each start are, at points inside the hull and outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from integration.drift import FIRST, annual, distance
from integration.integrate import TRUTH
from integration.member_run import FloatArray, MemberRun
from studies.ensemble.depth_ranges import depth_ranges
from studies.spinup.analysis import Analysis

FLOOR, NEAREST = "floor", "nearest_member"  # starts that the others are held against


def distances(analysis: Analysis, *, inside: int) -> dict[str, dict[str, Any]]:
    """By start, how far its runs are from the truth's in level-mean T, medians over points.

    inside: number of the points within the range of the training members, which come first.
    `second_year_K` and `last_year_K` have the distance in these years by point, for those where
    both runs survived.
    """
    apart = {
        label: _by_point(analysis, label) for label in analysis.result.labels if label != TRUTH
    }
    return {label: _row(found, apart, inside=inside) for label, found in apart.items() if found}


def distances_by_depth(
    analysis: Analysis, field: str, *, inside: int
) -> dict[str, dict[str, float]]:
    """By start and range of depth, the distance of level means in the last year.

    Rms over the levels of a range, median over the points within the range of the training members
    where both runs survived; in the unit of the field, "temperature" [K] or "salinity" [g/kg].
    """
    table = {}
    for label in analysis.result.labels:
        pairs = analysis.pairs(analysis.result.of(label))
        found = [_by_range(*pair, field) for pair in pairs if pair[0].index < inside]
        if label != TRUTH and found:
            table[label] = {
                name: float(np.median([one[name] for one in found])) for name in found[0]
            }
    return table


def _by_range(run: MemberRun, truth: MemberRun, field: str) -> dict[str, float]:
    """Rms over the levels of each range of depth of the difference in the last year."""
    one, other = (
        annual(each.time, getattr(each, field))[-1] for each in (run, truth.until(run.years))
    )
    square = run.level_weights * (one - other) ** 2
    return {
        name: float(np.sqrt(square[levels].sum() / run.level_weights[levels].sum()))
        for name, levels in depth_ranges(run.depth).items()
    }


def _by_point(analysis: Analysis, label: str) -> dict[int, FloatArray]:
    """Distance [K] in each year, `year`, at the points where the run and the truth's survived."""
    pairs = analysis.pairs(analysis.result.of(label))
    return {run.index: distance(run, truth.until(run.years), "temperature") for run, truth in pairs}


def _row(
    found: Mapping[int, FloatArray],
    apart: Mapping[str, Mapping[int, FloatArray]],
    *,
    inside: int,
) -> dict[str, Any]:
    near = [point for point in found if point < inside]
    far = [point for point in found if point >= inside]
    return {
        "points_inside": len(near),
        "second_year_inside_K": _median([found[point][FIRST] for point in near]),
        "last_year_inside_K": _median([found[point][-1] for point in near]),
        "last_year_to_floor": _ratio(found, apart.get(FLOOR, {}), near),
        "last_year_to_nearest": _ratio(found, apart.get(NEAREST, {}), near),
        "points_outside": len(far),
        "last_year_outside_K": _median([found[point][-1] for point in far]),
        "second_year_K": {str(point): float(years[FIRST]) for point, years in found.items()},
        "last_year_K": {str(point): float(years[-1]) for point, years in found.items()},
    }


def _ratio(
    found: Mapping[int, FloatArray], other: Mapping[int, FloatArray], points: Sequence[int]
) -> float | None:
    """Of the distances in the last year, at the points that both have."""
    return _median([found[point][-1] / other[point][-1] for point in points if point in other])


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
