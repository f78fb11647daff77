"""Horizontal temperature gradients: the strength of fronts and of the rims of rings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.geometry import centre_distances
from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.distances import w1_weighted
from evaluation.metrics.weights import horizontal_area, weighted_quantile

SUBSURFACE = (100.0, 500.0)  # m
PERCENTILES = (50, 90, 99)
GRADIENT_UNIT = 1e5  # m: gradients are in K per 100 km

COLUMNS = (
    *(
        Column(
            f"front_ratio_{place}_p{percentile}", f"fronts, {where}, {percentile}th percentile", "",
            f"percentile {percentile} of the horizontal gradient of T {depth}, generated / truth; "
            "target: 1; below: fronts too weak",
            target=1.0,
        )
        for place, where, depth in (
            ("surface", "surface", "at the surface"),
            ("subsurface", "100-500 m", "at 100-500 m"),
        )
        for percentile in PERCENTILES
    ),
    Column(
        "front_w1_surface_K_per_100km", "W₁ of fronts, surface", "K/100 km",
        "Wasserstein-1 distance of the horizontal gradients of T at the surface; target: 0",
        target=0.0,
    ),
    Column(
        "front_w1_subsurface_K_per_100km", "W₁ of fronts, 100-500 m", "K/100 km",
        "Wasserstein-1 distance of the horizontal gradients of T at 100-500 m; target: 0",
        target=0.0,
    ),
)  # fmt: skip


def front_metrics(state: State, reference: State, grid: OceanGrid) -> dict[str, float]:
    """Temperature gradients of `state`, compared with those of `reference`; see `COLUMNS`.

    All places and states are pooled, weighted by area. NaN without levels at 100-500 m, or without
    cells that have neighbours along both axes.
    """
    shallow, deep = SUBSURFACE
    subsurface = np.flatnonzero((grid.depth >= shallow) & (grid.depth <= deep)).tolist()
    metrics: dict[str, float] = {}
    for place, levels in (("surface", [0]), ("subsurface", subsurface)):
        ours, theirs = (
            _pooled_gradients(one.temperature, grid, levels) for one in (state, reference)
        )
        metrics |= _comparison(ours, theirs, _pooled_area(grid, levels), place)
    return metrics


def temperature_gradients(temperature: Tensor, grid: OceanGrid, level: int) -> Tensor:
    """Magnitude of the horizontal gradient of T at a level, `b n` [K per 100 km], float64.

    temperature: `b z y x`. At each cell whose next neighbours along x and along y are wet too, from
    the differences to them: one-sided, because central differences miss noise of two cells. The
    axes of the grid are taken as perpendicular.
    """
    field, cells = temperature[:, level].double(), _cells_with_neighbours(grid, level)
    distances = centre_distances(grid.longitude, grid.latitude, units=grid.horizontal_units)
    along_x, along_y = (
        (field.roll(-1, axis) - field)[:, cells] / _tensor(distance)[cells]
        for axis, distance in zip((-1, -2), distances, strict=True)
    )
    return GRADIENT_UNIT * torch.hypot(along_x, along_y)


def _cells_with_neighbours(grid: OceanGrid, level: int) -> Tensor:
    """Wet cells `y x` of a level whose next cells along both axes are wet."""
    wet = wet_tensor(grid)[level]
    east, north = wet.roll(-1, -1), wet.roll(-1, -2)
    north[-1] = False
    if not grid.periodic_x or wet.shape[-1] == 1:
        east[:, -1] = False
    return wet & east & north


def _pooled_gradients(temperature: Tensor, grid: OceanGrid, levels: list[int]) -> Tensor:
    """Gradients `b n` [K per 100 km] of all places and levels."""
    parts = [temperature_gradients(temperature, grid, level) for level in levels]
    return torch.cat(parts, dim=1) if parts else torch.empty(len(temperature), 0)


def _pooled_area(grid: OceanGrid, levels: list[int]) -> Tensor:
    """Areas `n` [m2] of the cells of `_pooled_gradients`."""
    area = horizontal_area(grid)
    parts = [area[_cells_with_neighbours(grid, level)] for level in levels]
    return torch.cat(parts) if parts else torch.empty(0)


def _comparison(ours: Tensor, theirs: Tensor, area: Tensor, place: str) -> dict[str, float]:
    ratios = [f"front_ratio_{place}_p{percentile}" for percentile in PERCENTILES]
    distance = f"front_w1_{place}_K_per_100km"
    if not len(area):
        return dict.fromkeys([*ratios, distance], float("nan"))
    strengths = zip(_percentiles(ours, area), _percentiles(theirs, area), strict=True)
    values = [a / b if b > 0 else float("nan") for a, b in strengths]
    return dict(zip(ratios, values, strict=True)) | {distance: w1_weighted(ours, theirs, area)}


def _percentiles(gradients: Tensor, area: Tensor) -> list[float]:
    weights = area.expand_as(gradients)
    return [weighted_quantile(gradients, weights, percent / 100) for percent in PERCENTILES]


def _tensor(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))
