"""Distances between sets of states: distributions, mean profiles, nearest neighbours."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.metrics.weights import (
    cell_volume,
    horizontal_area,
    level_means,
    level_thickness,
    weighted_mean,
)

DISTANCE_FIELDS = ("temperature", "salinity")
MOST_VALUES = 5_000_000  # sorted at once, to limit memory; sampling errors are larger


def w1(generated: Tensor, truth: Tensor, grid: OceanGrid) -> float:
    """Wasserstein-1 distance between fields `b z y x`, in their units.

    Thickness-weighted mean of `w1_levels`.
    """
    return float(weighted_mean(w1_levels(generated, truth, grid), level_thickness(grid)))


def w1_levels(generated: Tensor, truth: Tensor, grid: OceanGrid) -> Tensor:
    """Wasserstein-1 distance `z` at each level of fields `b z y x`, in their units.

    Pools all samples and wet cells of a level, weighted by area; 0 for levels without ocean.
    """
    return torch.tensor(
        [_w1_level(generated, truth, grid, level) for level in range(len(grid.depth))],
        dtype=torch.float64,
    )


def w1_weighted(a: Tensor, b: Tensor, weights: Tensor) -> float:
    """Wasserstein-1 distance between samples `a n` and `b n` whose places `n` have `weights`.

    Of more than `MOST_VALUES` values those in equal steps count.
    """
    return w1_pooled(
        a.flatten(), b.flatten(), a_weights=weights.repeat(len(a)), b_weights=weights.repeat(len(b))
    )


def w1_pooled(
    a: Tensor, b: Tensor, *, a_weights: Tensor | None = None, b_weights: Tensor | None = None
) -> float:
    """Wasserstein-1 distance between samples `n` and `m`, by default of equal weights."""
    values = (_even_selection(one) for one in (a, b))
    weights = (None if one is None else _even_selection(one) for one in (a_weights, b_weights))
    return float(wasserstein_distance(*values, *weights))


def mean_profile_error(generated: Tensor, truth: Tensor, grid: OceanGrid) -> float:
    """Thickness-weighted rms over levels of the bias of the mean profile, in the field's units.

    generated, truth: `b z y x`; the profiles are means over samples and wet cells of a level.
    """
    bias = level_means(generated, grid).mean(dim=0) - level_means(truth, grid).mean(dim=0)
    return float(weighted_mean(bias**2, level_thickness(grid)).sqrt())


def nearest_neighbours(states: State, training: State, grid: OceanGrid) -> tuple[Tensor, Tensor]:
    """Distance `b` of each state to its nearest training state, and the index `b` of the latter.

    In units of the training anomalies, see `distance_matrix`.
    """
    scale = anomaly_scale(training, grid)
    smallest, index = distance_matrix(states, training, grid, scale=scale).min(dim=1)
    return smallest, index


def anomaly_scale(training: State, grid: OceanGrid) -> Tensor:
    """Standard deviation `f z` of the anomalies of T and S about their mean, at each level.

    In units of the fields; 0 at levels without ocean.
    """
    wet = wet_tensor(grid)
    scale = torch.zeros(len(DISTANCE_FIELDS), len(grid.depth), dtype=torch.float64)
    for f, level in np.ndindex(*scale.shape):
        values = getattr(training, DISTANCE_FIELDS[f])[:, level, wet[level]].double()
        if values.numel():
            scale[f, level] = (values - values.mean(dim=0)).square().mean().sqrt()
    return scale


def distance_matrix(states: State, others: State, grid: OceanGrid, *, scale: Tensor) -> Tensor:
    """Distance `a b` of each of `states` `a` to each of `others` `b`.

    The rms difference in T and S over the wet volume, in units of `scale` `f z`, the standard
    deviation of the training anomalies at each level (`anomaly_scale`). Levels where the scale is
    0 do not count. Accumulated by level to limit memory.
    """
    volume, wet = cell_volume(grid), wet_tensor(grid)
    weights = volume / (len(DISTANCE_FIELDS) * volume.sum())
    squared = torch.zeros(len(states), len(others), dtype=torch.float64)
    for f, level in np.argwhere(scale.numpy() > 0):
        cells = wet[level]
        a, b = (getattr(x, DISTANCE_FIELDS[f])[:, level, cells].double() for x in (states, others))
        squared += _squared_distances(a, b, weights[level, cells], scale=scale[f, level])
    return squared.sqrt()


def _squared_distances(a: Tensor, b: Tensor, weights: Tensor, *, scale: Tensor) -> Tensor:
    """Weighted squared distances `a b` of values `a n`, `b n`, in units of `scale`."""
    centre = b.mean(dim=0)  # small values keep the difference of large squares exact
    a, b = ((x - centre) * weights.sqrt() / scale for x in (a, b))
    squared = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * a @ b.T
    return squared.clamp(min=0)


def _w1_level(generated: Tensor, truth: Tensor, grid: OceanGrid, level: int) -> float:
    cells = wet_tensor(grid)[level]
    if not cells.any():
        return 0.0
    area = horizontal_area(grid)[cells]
    return w1_weighted(generated[:, level, cells], truth[:, level, cells], area)


def _even_selection(values: Tensor) -> np.ndarray:
    """Values in equal steps, at most `MOST_VALUES` of them."""
    return values[:: 1 + (len(values) - 1) // MOST_VALUES].double().numpy()
