"""Land-free rectangles of ocean, on which horizontal spectra are computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.grid import OceanGrid

SMALLEST_SIDE = 8  # [cells]; shorter sides do not resolve the wavenumber bands
DEPTHS = (0.0, 100.0, 400.0, 1000.0)  # m


class Box(NamedTuple):
    """A rectangle of cells; it may cross the seam of a periodic x axis."""

    top: int
    left: int
    rows: int
    columns: int

    def cut(self, field: Tensor) -> Tensor:
        """The part of a field `... y x` inside the box, `... rows columns`."""
        band = field[..., self.top : self.top + self.rows, :]
        return band.roll(-self.left, -1)[..., : self.columns]


def boxes_at_depths(grid: OceanGrid) -> dict[int, Box]:
    """The largest land-free box of each level nearest to one of `DEPTHS`, where there is one."""
    found = {
        level: largest_wet_box(grid.wet[level], periodic_x=grid.periodic_x)
        for level in levels_at_depths(grid.depth)
    }
    return {level: box for level, box in found.items() if box is not None}


def levels_at_depths(depth: NDArray[np.float64]) -> list[int]:
    """The levels nearest to `DEPTHS` among those at `depth` [m]."""
    return sorted({int(np.abs(depth - place).argmin()) for place in DEPTHS})


def largest_wet_box(
    wet: NDArray[np.bool_], *, periodic_x: bool, smallest: int = SMALLEST_SIDE
) -> Box | None:
    """The largest all-True rectangle of `wet` `y x`; None if all have a side below `smallest`."""
    columns = wet.shape[1]
    wet = np.concatenate([wet, wet], axis=1) if periodic_x else wet
    height = np.zeros(wet.shape[1], dtype=int)
    best, most = None, 0
    for row, cells in enumerate(wet):
        height = np.where(cells, height + 1, 0)
        for left, rows, width in _rectangles(height.tolist()):
            width = min(width, columns)
            if min(rows, width) >= smallest and rows * width > most:
                most, best = rows * width, Box(row - rows + 1, left % columns, rows, width)
    return best


def _rectangles(heights: list[int]) -> Iterator[tuple[int, int, int]]:
    """The maximal rectangles (left, height, width) of a histogram with bars of `heights`."""
    rising: list[tuple[int, int]] = []  # (left, height) of open rectangles, by increasing height
    for right, height in enumerate([*heights, 0]):
        left = right
        while rising and rising[-1][1] >= height:
            left, tall = rising.pop()
            yield left, tall, right - left
        rising.append((left, height))
