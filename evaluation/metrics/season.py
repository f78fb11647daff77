"""The seasonal cycle of temperature near the surface: its strength and how states fill the year.

The cycle is the first annual harmonic. The training states, whose season is known, define its two
patterns; the projection of a state on them gives its amplitude and its season, also for generated
states, which carry no time. The surface alone warms and cools almost everywhere at once, so that
spring and autumn look alike; the water below it lags behind and tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.labels import Labels

MONTHS_PER_YEAR = 12
LAGGING_DEPTH = 75.0  # m; within the layer that the season reaches, but late
# Of 0.5, the variance of cos and of sin over an evenly sampled year; less in the worst direction
# means that seasons are missing, as with one or two dates a year.
SMALLEST_SAMPLING = 0.1
SMALLEST_SHARE = 0.05  # of the variance; a smaller harmonic is no seasonal cycle
# Ratio of the smaller to the larger variance of the cycle's two patterns; below, the cycle stands:
# it has one pattern, the same in spring and autumn. Surface T alone has 0.006 in a closed basin,
# the two levels together 0.05.
SMALLEST_LAG = 0.01
NAN = float("nan")


@dataclass(frozen=True)
class SeasonalCycle:
    """First annual harmonic of T at the surface and near 75 m, from training states.

    climatology: mean T of the wet cells of both levels, `n` [degC]; patterns: T that goes with the
    cosine and the sine of the season, `2 n` [K]; coordinates: those of the training states, `b 2`
    """

    climatology: Tensor
    patterns: Tensor
    coordinates: Tensor

    @classmethod
    def of(cls, training: State, labels: Labels, grid: OceanGrid) -> SeasonalCycle | None:
        """Cycle of `training` states with `labels`; None where there is none to be seen.

        Least squares, together with a mean of each member, so that members with different means
        and seasons do not mix. There is none if

        - the record does not sample the seasons: the covariance of cosine and sine has an
          eigenvalue below a fifth of that of an even year;
        - the harmonic explains less than 5 % of the area-weighted variance about the members'
          means, adjusted for its two degrees of freedom, so that short records do not feign one;
        - the two patterns are nearly proportional, so that the season cannot be told.
        """
        values, harmonic = _values(training, grid), _harmonic(labels.season)
        group = torch.from_numpy(labels.groups)
        anomaly, regressors = _without_means(values, group), _without_means(harmonic, group)
        if _smallest_eigenvalue(regressors.T @ regressors / len(values)) < SMALLEST_SAMPLING:
            return None
        patterns = torch.linalg.lstsq(regressors, anomaly).solution
        area, freedom = _cell_area(grid), len(values) - int(group.max()) - 1
        share = _explained(anomaly, regressors @ patterns, area, freedom)
        if not share >= SMALLEST_SHARE or _standing(patterns, area):
            return None
        climatology = (values - harmonic @ patterns).mean(dim=0)
        return cls(climatology, patterns, _project(values - climatology, patterns, area))

    def project(self, state: State, grid: OceanGrid) -> Tensor:
        """Coordinates `b 2` of states: 1, 0 and 0, 1 are the mean states at season 0 and 1/4.

        Area-weighted least squares on the two patterns.
        """
        anomaly = _values(state, grid) - self.climatology
        return _project(anomaly, self.patterns, _cell_area(grid))


def season_metrics(state: State, cycle: SeasonalCycle | None, grid: OceanGrid) -> dict[str, float]:
    """Amplitude and distribution over the year of the seasonal cycle of `state`.

    season_radius_ratio: mean distance of the coordinates from 0, generated / training;
    season_distance_months: `circular_w1` of the seasons, generated and training, in twelfths of a
    year: by how much states would have to move to be spread over the year as the training states.
    It has no classes, unlike shares of quarters, whose limits cut through the dates of regular
    records. NaN without a cycle (None); the distance also with fewer than two states.
    """
    if cycle is None:
        return {"season_radius_ratio": NAN, "season_distance_months": NAN}
    ours, theirs = cycle.project(state, grid), cycle.coordinates
    ratio = ours.norm(dim=1).mean() / theirs.norm(dim=1).mean()
    distance = circular_w1(season(ours), season(theirs)) if len(state) > 1 else NAN
    return {
        "season_radius_ratio": float(ratio),
        "season_distance_months": MONTHS_PER_YEAR * distance,
    }


def season(coordinates: Tensor) -> NDArray[np.float64]:
    """Season `b` [fraction of the year] of coordinates `b 2`."""
    angle = torch.atan2(coordinates[:, 1], coordinates[:, 0]) / (2 * torch.pi)
    return (angle % 1).numpy()


def circular_w1(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Wasserstein-1 distance on a circle of circumference 1 between points `n` and `m`.

    1/4 between a single point and an even distribution, at most 1/2. The mean absolute difference
    of the distribution functions, less its median, which makes up for the arbitrary origin (Rabin
    et al. 2011, J. Math. Imaging Vis. 41, 147-167).
    """
    points = np.sort(np.concatenate([a, b]))
    gap = np.searchsorted(np.sort(a), points, side="right") / len(a)
    gap -= np.searchsorted(np.sort(b), points, side="right") / len(b)
    length = np.diff(np.append(points, points[0] + 1))
    order = np.argsort(gap)
    half = int(np.searchsorted(np.cumsum(length[order]), 0.5))
    median = gap[order[min(half, len(gap) - 1)]]
    return float(np.abs(gap - median) @ length)


def _levels(grid: OceanGrid) -> list[int]:
    """The surface and the level below it that is nearest to 75 m."""
    below = np.abs(grid.depth[1:] - LAGGING_DEPTH)
    return [0, 1 + int(below.argmin())] if below.size else [0]


def _values(state: State, grid: OceanGrid) -> Tensor:
    """T of the wet cells of both levels, `b n`, in float64."""
    wet = wet_tensor(grid)
    parts = [state.temperature[:, level, wet[level]] for level in _levels(grid)]
    return torch.cat(parts, dim=1).double()


def _cell_area(grid: OceanGrid) -> Tensor:
    """Area `n` of the cells of `_values` [m2]."""
    area = torch.from_numpy(grid.area).double()
    return torch.cat([area[wet_tensor(grid)[level]] for level in _levels(grid)])


def _harmonic(season: NDArray[np.float64]) -> Tensor:
    """Cosine and sine `b 2` of seasons `b`."""
    angle = torch.from_numpy(2 * np.pi * season)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _without_means(values: Tensor, group: Tensor) -> Tensor:
    """Values `b n` without the mean of their group."""
    result = values.clone()
    for one in group.unique():
        result[group == one] -= values[group == one].mean(dim=0)
    return result


def _explained(anomaly: Tensor, fitted: Tensor, area: Tensor, freedom: int) -> float:
    """Share of the variance of anomalies `b n` that `fitted` explains, adjusted for two regressors.

    freedom: degrees of freedom of the anomalies; NaN if nothing varies or none would be left.
    """
    rest, total = ((x.square() @ area).sum() for x in (anomaly - fitted, anomaly))
    if freedom <= 2 or total == 0:
        return NAN
    return float(1 - rest / total * freedom / (freedom - 2))


def _standing(patterns: Tensor, area: Tensor) -> bool:
    """Whether one pattern describes the cycle `2 n`, so that its phase is undetermined."""
    product = (patterns * area) @ patterns.T
    return _smallest_eigenvalue(product / product.trace()) < SMALLEST_LAG


def _smallest_eigenvalue(matrix: Tensor) -> float:
    return float(torch.linalg.eigvalsh(matrix)[0])


def _project(anomaly: Tensor, patterns: Tensor, area: Tensor) -> Tensor:
    """Coordinates `b 2` of anomalies `b n` by area-weighted least squares on patterns `2 n`."""
    weighted = patterns * area
    return torch.linalg.solve(weighted @ patterns.T, weighted @ anomaly.T).T


COLUMNS = (
    Column(
        "season_radius_ratio", "seasonal amplitude", "",
        "mean amplitude of the annual harmonic of T near the surface, generated / training; "
        "target: 1", target=1.0,
    ),
    Column(
        "season_distance_months", "distance in season", "months",
        "Wasserstein-1 distance of the seasons of the states on the circle of the year; 0: spread "
        "as the training states; 3: all in one season instead of evenly",
        target=0.0,
    ),
)  # fmt: skip
