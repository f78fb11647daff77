"""Rectangles of ocean without land, for what needs a regular field: horizontal spectra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.grid import OceanGrid

SMALLEST_SIDE = 8  # cells; fewer do not resolve bands of wavenumbers
DEPTHS = (0.0, 100.0, 400.0, 1000.0)  # m


class Box(NamedTuple):
    """A rectangle of cells; on a periodic x axis it may cross the seam."""

    top: int
    left: int
    rows: int
    columns: int

    def cut(self, field: Tensor) -> Tensor:
        """`... y x` to `... rows columns`."""
        band = field[..., self.top : self.top + self.rows, :]
        return band.roll(-self.left, -1)[..., : self.columns]


def boxes_at_depths(grid: OceanGrid) -> dict[int, Box]:
    """The largest all-wet box by level, at the levels nearest to `DEPTHS` that have one."""
    levels = sorted({int(np.abs(grid.depth - depth).argmin()) for depth in DEPTHS})
    found = {
        level: largest_wet_box(grid.wet[level], periodic_x=grid.periodic_x) for level in levels
    }
    return {level: box for level, box in found.items() if box is not None}


def largest_wet_box(
    wet: NDArray[np.bool_], *, periodic_x: bool, smallest: int = SMALLEST_SIDE
) -> Box | None:
    """The all-True rectangle of `wet` `y x` with most cells; None if no side reaches `smallest`."""
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
    """Widest rectangles (left, height, width) that stand under a row of columns of `heights`."""
    rising: list[tuple[int, int]] = []  # (left, height) of those still open, heights increasing
    for right, height in enumerate([*heights, 0]):
        left = right
        while rising and rising[-1][1] >= height:
            left, tall = rising.pop()
            yield left, tall, right - left
        rising.append((left, height))
