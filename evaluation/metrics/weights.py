"""Area, volume and thickness weights of a grid as float64 tensors, and weighted statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from data.grid import OceanGrid
from data.state import State

BATCH_BYTES = 2**30  # of the temperature of states that are converted together
DOUBLE = 8  # bytes


def cell_volume(grid: OceanGrid) -> Tensor:
    """Wet volume of each cell `z y x` [m3], 0 on land."""
    return torch.from_numpy(np.ascontiguousarray(grid.volume, dtype=np.float64))


def column_area(grid: OceanGrid) -> Tensor:
    """Area of each water column `y x` [m2], 0 on land."""
    return horizontal_area(grid) * torch.from_numpy(grid.wet[0])


def horizontal_area(grid: OceanGrid) -> Tensor:
    """Area of each cell `y x` [m2], also on land."""
    return torch.from_numpy(np.ascontiguousarray(grid.area, dtype=np.float64))


def level_thickness(grid: OceanGrid) -> Tensor:
    """Thickness of each level `z` [m]: that of its thickest wet cell, 0 without wet cells."""
    return torch.from_numpy(grid.thickest.astype(np.float64))


def interface_depth(grid: OceanGrid) -> Tensor:
    """Depth of the interfaces between levels, `z-1` [m]."""
    return torch.from_numpy(np.ascontiguousarray(grid.interface_depth, dtype=np.float64))


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of `values` over the last axes, those of `weights`; NaN if all weights are 0.

    Values with zero weight (land) may be NaN.
    """
    axes = tuple(range(-weights.ndim, 0))
    return torch.where(weights > 0, values * weights, 0.0).sum(dim=axes) / weights.sum()


def mean_over_levels(values: Tensor, grid: OceanGrid) -> float:
    """Thickness-weighted mean of `values` `z` over the levels where they are not NaN."""
    weights = torch.where(values.isnan(), 0.0, level_thickness(grid))
    return float(weighted_mean(values, weights))


def weighted_quantile(values: Tensor, weights: Tensor, quantile: float) -> float:
    """Weighted quantile of all values; ignores NaN."""
    valid = torch.isfinite(values) & (weights > 0)
    if not valid.any():
        return float("nan")
    ordered, order = values[valid].sort()
    share = weights[valid][order].cumsum(0) / weights[valid].sum()
    return float(ordered[torch.searchsorted(share, quantile).clamp(max=len(ordered) - 1)])


def level_means(field: Tensor, grid: OceanGrid) -> Tensor:
    """Volume-weighted horizontal mean `b z` of a field `b z y x`; NaN at levels without ocean."""
    volume = cell_volume(grid)
    at_once = max(BATCH_BYTES // (DOUBLE * volume.numel()), 1)
    sums = [(part.double() * volume).sum(dim=(2, 3)) for part in field.split(at_once)]
    return torch.cat(sums) / volume.sum(dim=(1, 2))


def over_batches(state: State, function: Callable[[State], Tensor], *, size: int = 16) -> Tensor:
    """Apply `function` in float64 to batches of `size` states, to limit memory.

    Of large states to fewer at once. The function must not depend on what else is in a batch.
    """
    large = BATCH_BYTES // (DOUBLE * state.temperature[0].numel())
    size = max(min(size, large), 1)
    chunks = range(0, len(state), size)
    return torch.cat([function(_double(state, start, start + size)) for start in chunks])


def _double(state: State, start: int, stop: int) -> State:
    return state.map(lambda field: field[start:stop].double())
