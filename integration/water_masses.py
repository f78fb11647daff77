"""Acceptance metrics of ocean models: water masses in boxes and temperature at mid-depth.

The boxes are those of Meunier et al. (2025, arXiv 2502.02499; the code of its table). Deep water
lies within 30 degrees of the equator between 500 and 1500 m. Bottom water lies below 1500 m or, at
any depth, poleward of 30 degrees. The basin has the depth (4000 m) and latitudes of that paper, so
the bounds are unchanged. A cell belongs to the box that contains its centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.grid import OceanGrid

FloatArray = NDArray[np.float64]
TROPICS = 30.0  # degrees
DEEP_WATER = (500.0, 1500.0)  # m
MID_DEPTH = 500.0  # m


def bottom_water(grid: OceanGrid) -> FloatArray:
    """Volume `z y x` [m3] of the cells of bottom water, 0 elsewhere."""
    inside = (grid.depth[:, None] > DEEP_WATER[1]) | ~_tropical(grid)
    return grid.volume * inside[:, :, None]


def deep_water(grid: OceanGrid) -> FloatArray:
    """Volume `z y x` [m3] of the cells of deep water, 0 elsewhere."""
    shallow, deep = DEEP_WATER
    depth = grid.depth[:, None]
    return grid.volume * ((depth > shallow) & (depth < deep) & _tropical(grid))[:, :, None]


def box_mean(field: FloatArray, volume: FloatArray) -> float:
    """Volume-weighted mean of a field `z y x` over a box of cell volumes `z y x`."""
    return float((field * volume).sum() / volume.sum())


def mid_depth_temperature(temperature: FloatArray, grid: OceanGrid) -> float:
    """Mean temperature [degC] at 500 m, 30S to 30N, of `z y x`; linear between level centres."""
    below = int(np.searchsorted(grid.depth, MID_DEPTH))
    above = below - 1
    fraction = (MID_DEPTH - grid.depth[above]) / (grid.depth[below] - grid.depth[above])
    level = (1 - fraction) * temperature[above] + fraction * temperature[below]
    area = grid.area * grid.wet[below] * _tropical(grid)[0][:, None]
    return float((level * area).sum() / area.sum())


def _tropical(grid: OceanGrid) -> NDArray[np.bool_]:
    """Whether each row, `1 y`, lies within 30 degrees of the equator."""
    return np.abs(np.asarray(grid.latitude))[None, :] < TROPICS
