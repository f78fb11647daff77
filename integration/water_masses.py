"""Acceptance metrics of the field: water masses in boxes, temperature at mid-depth.

After the boxes of Meunier et al. (2025, arXiv 2502.02499; the code of its table): deep water lies
within 30 degrees of the equator between 500 and 1500 m; bottom water is what lies deeper than
1500 m and, at any depth, what lies further from the equator. The basin has that paper's depth
(4000 m) and latitudes, so the bounds are taken as they are; a cell belongs to the box that its
centre lies in.
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
    """Mean of a field `z y x` by the volume of a box `z y x`."""
    return float((field * volume).sum() / volume.sum())


def mid_depth_temperature(temperature: FloatArray, grid: OceanGrid) -> float:
    """Mean T [degC] at 500 m between 30S and 30N, of `z y x`, linear between level centres."""
    below = int(np.searchsorted(grid.depth, MID_DEPTH))
    above = below - 1
    share = (MID_DEPTH - grid.depth[above]) / (grid.depth[below] - grid.depth[above])
    level = (1 - share) * temperature[above] + share * temperature[below]
    area = grid.area * grid.wet[below] * _tropical(grid)[0][:, None]
    return float((level * area).sum() / area.sum())


def _tropical(grid: OceanGrid) -> NDArray[np.bool_]:
    """Rows within `TROPICS` of the equator, `1 y`."""
    return np.abs(np.asarray(grid.latitude))[None, :] < TROPICS
