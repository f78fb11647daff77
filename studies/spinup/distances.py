"""How far from the truth's runs those of each start are, at points inside the hull and outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from integration.drift import FIRST, distance
from integration.integrate import TRUTH
from integration.member_run import FloatArray
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
