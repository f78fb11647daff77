"""Additional metrics of guided samples, as pure functions in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.normalisation import Statistics
from data.state import State
from evaluation.metrics.distances import w1_levels, w1_pooled
from evaluation.metrics.variance import variance_ratio
from evaluation.metrics.weights import (
    cell_volume,
    column_area,
    level_means,
    weighted_mean,
)

SHALLOWEST_THERMOCLINE = 100.0  # m; excludes the seasonal thermocline
DRAWS = 50_000  # cells sampled for a T-S diagram
DIRECTIONS = 16


def thermocline_level(truth: State, grid: OceanGrid) -> int:
    """The level above the strongest vertical gradient of mean temperature, below 100 m."""
    profile = level_means(truth.temperature, grid).mean(dim=0)
    depth = torch.tensor(grid.depth, dtype=torch.float64)
    gradient = -profile.diff() / depth.diff()
    wet = wet_tensor(grid).flatten(1).any(1)[1:]
    gradient = torch.where(wet & (depth[:-1] >= SHALLOWEST_THERMOCLINE), gradient, -torch.inf)
    return int(gradient.argmax())


def thermocline_variance(state: State, truth: State, grid: OceanGrid) -> dict[str, float]:
    """Pointwise variance over the samples at the thermocline, generated / truth."""
    level = thermocline_level(truth, grid)
    area = column_area(grid) * wet_tensor(grid)[level]
    return {
        f"variance_ratio_thermocline_{name}": variance_ratio(
            getattr(state, name)[:, level], getattr(truth, name)[:, level], area
        )
        for name in ("temperature", "salinity")
    }


def temperature_salinity_distance(state: State, truth: State, grid: OceanGrid) -> float:
    """Sliced Wasserstein-1 distance between T-S diagrams, in standard deviations of the truth.

    Cells are weighted by volume. T and S are divided by their standard deviation in the truth, and
    the distance is averaged over directions in the T-S plane (Bonneel et al. 2015).
    """
    mine, theirs = _water(state, grid, seed=0), _water(truth, grid, seed=1)
    mean, std = theirs.mean(0), theirs.std(0).clamp_min(1e-12)
    mine, theirs = (mine - mean) / std, (theirs - mean) / std
    angles = torch.arange(DIRECTIONS, dtype=torch.float64) * math.pi / DIRECTIONS
    directions = torch.stack([angles.cos(), angles.sin()])
    gaps = [
        w1_pooled(a, b) for a, b in zip((mine @ directions).T, (theirs @ directions).T, strict=True)
    ]
    return float(torch.tensor(gaps).mean())


def w1_profiles(state: State, truth: State, grid: OceanGrid) -> dict[str, list[float]]:
    """Wasserstein-1 distance at each level, `z`, of `temperature` [K] and `salinity` [1e-3]."""
    return {
        name: w1_levels(getattr(state, name), getattr(truth, name), grid).tolist()
        for name in ("temperature", "salinity")
    }


def adjustment_moves(state: State, adjusted: State, grid: OceanGrid) -> dict[str, float]:
    """Heat and salt moved vertically by an adjustment, mean over area and samples.

    Half the column sum of thickness times the absolute change: [K m] and [1e-3 m]. The first times
    density and heat capacity, 4.1e6 J/m3/K, is the heat moved.
    """
    thickness = torch.from_numpy(grid.thickness * grid.wet)
    pairs = {
        "heat_moved_K_m": (state.temperature, adjusted.temperature),
        "salt_moved_m": (state.salinity, adjusted.salinity),
    }
    area = column_area(grid)
    return {
        name: 0.5 * float(weighted_mean((thickness * (a - b).abs()).sum(1), area).mean())
        for name, (a, b) in pairs.items()
    }


def distance_in_stds(state: State, other: State, statistics: Statistics) -> float:
    """Rms difference in T and S over wet cells, in standard deviations of each level."""
    tracers = slice(2 * statistics.levels)
    difference = (statistics.normalise(state) - statistics.normalise(other))[:, tracers]
    cells = statistics.wet[tracers].sum() * len(state)
    return float((difference.double().square().sum() / cells).sqrt())


def _water(state: State, grid: OceanGrid, *, seed: int) -> Tensor:
    """Temperature and salinity, `n 2`, of random cells with probability proportional to volume."""
    generator = torch.Generator().manual_seed(seed)
    volume = (cell_volume(grid) * wet_tensor(grid)).flatten()
    sample = torch.randint(len(state), (DRAWS,), generator=generator)
    cell = torch.multinomial(volume, DRAWS, replacement=True, generator=generator)
    fields = (state.temperature, state.salinity)
    return torch.stack([field.flatten(1)[sample, cell].double() for field in fields], dim=1)
