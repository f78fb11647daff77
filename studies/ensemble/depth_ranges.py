"""Ranges of depth over which the differences of an ensemble are averaged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data.grid import OceanGrid

FloatArray = NDArray[np.float64]
EDGES = (0.0, 300.0, 1000.0, 2000.0)  # m, of the centres of levels; the last range is open
ALL_DEPTHS = "all depths"


def depth_ranges(depth: FloatArray) -> dict[str, NDArray[np.bool_]]:
    """Levels `z` of each range that has any, by its name, and of all depths.

    depth: of the centres of levels, `z` [m]
    """
    number = np.digitize(depth, EDGES)
    names = [f"{top:.0f}–{bottom:.0f} m" for top, bottom in pairwise(EDGES)]
    names.append(f"below {EDGES[-1]:.0f} m")
    ranges = {name: number == index for index, name in enumerate(names, start=1)}
    occupied = {name: levels for name, levels in ranges.items() if levels.any()}
    return occupied | {ALL_DEPTHS: np.ones(len(depth), dtype=bool)}


def rms_by_range(field: FloatArray, grid: OceanGrid) -> dict[str, float]:
    """Root of the volume mean of `field` squared by range of depth, in its unit.

    field: `z y x`, or a profile `z`, whose levels count by their wet volume
    """
    volume = grid.volume if field.ndim == 3 else grid.volume.sum(axis=(1, 2))
    return {
        name: float(np.sqrt(np.average(field[levels] ** 2, weights=volume[levels])))
        for name, levels in depth_ranges(grid.depth).items()
    }
