"""Windows of an ocean: rectangles of latent cells with a halo, drawn at random.

Windows have the same size, except that a closed edge cuts them. A position is drawn with a
probability proportional to the wet cells in its window. Every cell lies in equally many positions,
so the mean over the wet cells of a window has the mean over all wet cells as its expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Span(NamedTuple):
    """A window's part of an axis, in latent cells.

    cells: numbers of the cells, halo included; inner: those of the window, among them
    """

    cells: Numbers
    inner: slice


@dataclass(frozen=True)
class Axis:
    """The windows along an axis of the latent grid.

    cells: of the axis; width: of a window; halo: cells around it on which its own depend
    periodic: whether the last cell adjoins the first
    """

    cells: int
    width: int
    halo: int
    periodic: bool = False

    @property
    def starts(self) -> range:
        """First cells of the windows; those of a closed axis may reach beyond its ends."""
        if self.width >= self.cells:
            return range(1)
        return range(self.cells) if self.periodic else range(1 - self.width, self.cells)

    def sums(self, values: Numbers) -> Numbers:
        """Sums over each window of `values` `cells ...`, by its start."""
        if self.width >= self.cells:
            return values.sum(axis=0, keepdims=True)
        beyond = self.width - 1
        if self.periodic:
            values = np.concatenate([values, values[:beyond]])
        else:
            values = np.pad(values, [(beyond, beyond)] + [(0, 0)] * (values.ndim - 1))
        totals = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0)
        return totals[self.width :] - totals[: -self.width]

    def span(self, start: int) -> Span:
        """The window that begins at `start`.

        A halo ends at a closed edge, where the network continues the field in the same way as in
        the whole field. It never meets itself around a periodic axis: then it is the whole circle.
        """
        first, last = start, start + min(self.width, self.cells)
        if not self.periodic:
            first, last = max(first, 0), min(last, self.cells)
            begin, end = max(first - self.halo, 0), min(last + self.halo, self.cells)
        elif last - first + 2 * self.halo >= self.cells:
            begin = first - (self.cells - (last - first)) // 2
            end = begin + self.cells
        else:
            begin, end = first - self.halo, last + self.halo
        return Span(np.arange(begin, end) % self.cells, slice(first - begin, last - begin))


class Positions:
    """All positions of a window, with their wet cells.

    rows, columns: the axes; wet: number of wet cells in each latent cell, `h w`
    """

    def __init__(self, rows: Axis, columns: Axis, wet: Numbers) -> None:
        self.rows, self.columns = rows, columns
        self.wet = columns.sums(rows.sums(wet).T).T
        self._totals = np.cumsum(self.wet)

    def draw(self, generator: torch.Generator) -> tuple[int, int]:
        """Numbers of the starts of a window in both axes."""
        place = torch.randint(int(self._totals[-1]), (), generator=generator)
        number = int(np.searchsorted(self._totals, int(place), side="right"))
        row, column = divmod(number, self.wet.shape[1])
        return row, column

    def spans(self, row: int, column: int) -> tuple[Span, Span]:
        """The spans of the window whose starts have these numbers."""
        return (
            self.rows.span(self.rows.starts[row]),
            self.columns.span(self.columns.starts[column]),
        )
