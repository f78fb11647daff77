"""Cuts windows at random positions out of states and of what a codec knows of their ocean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoencoder.boxes import SMALLEST_SIDE, Box, largest_wet_box, levels_at_depths
from autoencoder.codec import VolumeCodec
from autoencoder.pieces import Counted, Inner, Seam, SpectralBoxes, Window
from autoencoder.windows import Axis, Numbers, Positions, Span
from data.errors import UserError
from data.normalisation import Statistics
from data.state import State
from guidance.stratification import wet_pairs


def axes_of(codec: VolumeCodec, window: tuple[int, int]) -> tuple[Axis, Axis]:
    """The axes of a codec's latents, with windows of so many rows and columns of the grid.

    They are rounded up to whole latent cells. The halo is the reach of the autoencoder; along x it
    also holds what is blended with the columns at the seam.
    """
    factor, padding = codec.design.factor, codec.padding
    _, rows, columns = codec.latent_shape
    height, width = (math.ceil(cells / factor) for cells in window)
    blended = math.ceil((padding.padded_shape[1] - padding.columns) / factor)
    periodic, halo = padding.periodic_x, codec.vae.halo
    return (
        Axis(rows, height, halo),
        Axis(columns, width, halo + periodic * blended, periodic=periodic),
    )


class Cutter:
    """Cuts windows out of batches of states.

    codec: with the grid and the statistics of the states; its arrays stay where they are
    window: rows and columns [grid cells]
    spectral: whether windows list the boxes in which spectra are compared

    Raises `UserError` if spectra are to be compared, and the windows have no room for them.
    """

    def __init__(
        self, codec: VolumeCodec, window: tuple[int, int], *, spectral: bool = False
    ) -> None:
        self._codec, self._factor = codec, codec.design.factor
        self._sources, self._own = codec.padding.sources, codec.padding.is_own
        wet, levels = codec.statistics.wet, codec.statistics.levels
        columns = codec.padding.pad(wet.sum(dim=0)).numpy() * self._own
        blocks = _blocks(columns, self._factor)
        self.positions = Positions(*axes_of(codec, window), blocks.sum(axis=(1, 3)))
        counted = [int(mask.sum()) for mask in (wet, wet[: 2 * levels], wet_pairs(wet[:levels]))]
        self._per_cell = [number / counted[0] for number in counted]
        self._land_free = self._land_free_cells() if spectral else {}
        if spectral:
            self._check_room(window)

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Window:
        """The states `b c y x` [physical units] in a window that `generator` draws."""
        return self.cut(batch, *self.positions.draw(generator))

    def cut(self, batch: Tensor, row: int, column: int) -> Window:
        """The states `b c y x` in the window at these numbers of its starts."""
        spans, known = self.positions.spans(row, column), self._codec.statistics
        inner = Inner(*(span.inner for span in spans))
        around = [self._cells(span) for span in spans]
        within = [
            cells[part] for cells, part in zip(around, inner.times(self._factor), strict=True)
        ]
        statistics = Statistics(
            self._part(known.mean, around),
            known.std,
            self._part(known.wet, around),
            levels=known.levels,
            grid_digest=known.grid_digest,
        )
        states = State.from_channels(self._part(batch, around), levels=known.levels)
        own = torch.from_numpy(self._own[np.ix_(*within)])
        wet_cells = int(self.positions.wet[row, column])
        return Window(
            statistics.normalise(states),
            self._part(batch, within),
            self._part(known.mean, within),
            self._part(known.wet, within) & own,
            self._part(self._codec.grid_thickness, within).to(batch.dtype),
            inner,
            Counted(*(wet_cells * number for number in self._per_cell)),
            self._seam(around[1], within[1]),
            self._boxes(spans),
        )

    def _cells(self, span: Span) -> Numbers:
        """Padded rows or columns of the grid in a span, halo included."""
        return (span.cells[:, None] * self._factor + np.arange(self._factor)).ravel()

    def _part(self, field: Tensor, cells: list[Numbers]) -> Tensor:
        """`... y x` at padded rows and columns; 0 where there is none in the ocean."""
        rows, columns = (
            torch.from_numpy(sources[numbers])
            for sources, numbers in zip(self._sources, cells, strict=True)
        )
        part = field[..., rows.clamp(min=0)[:, None], columns.clamp(min=0)]
        return part.masked_fill_((rows < 0)[:, None] | (columns < 0), 0)

    def _seam(self, around: Numbers, within: Numbers) -> Seam | None:
        """The seam in padded columns `around`; None if nothing is blended `within`."""
        partners, weights = self._codec.padding.seam
        if not weights[:, within].any():
            return None
        place = (partners[:, around] - around[0]) % partners.shape[1]
        present = place < len(around)
        return Seam(
            torch.from_numpy(np.where(present, place, 0)),
            torch.from_numpy(np.where(present, weights[:, around], 0)),
        )

    def _land_free_cells(self) -> dict[int, NDArray[np.bool_]]:
        """Latent cells `h w` without land or repetitions, by the level of the spectra."""
        wet = self._codec.padding.pad(self._codec.statistics.wet.to(torch.uint8)).numpy()
        return {
            level: _blocks(wet[level] * self._own, self._factor).min(axis=(1, 3)).astype(bool)
            for level in levels_at_depths(self._codec.grid.depth)
        }

    def _boxes(self, spans: tuple[Span, Span]) -> SpectralBoxes:
        """The largest land-free box at each level of the spectra, in cells of the window."""
        rows, columns = (span.cells[span.inner] for span in spans)
        found = [
            (self._box(land_free[np.ix_(rows, columns)]), level)
            for level, land_free in self._land_free.items()
        ]
        return [(box, self._codec.statistics.channels_at(level)) for box, level in found if box]

    def _box(self, land_free: NDArray[np.bool_]) -> Box | None:
        smallest = math.ceil(SMALLEST_SIDE / self._factor)
        box = largest_wet_box(land_free, periodic_x=False, smallest=smallest)
        return box and Box(*(self._factor * number for number in box))

    def _check_room(self, window: tuple[int, int]) -> None:
        axes = self.positions.rows, self.positions.columns
        sides = [self._factor * min(axis.width, axis.cells) for axis in axes]
        room = any(self._box(land_free) for land_free in self._land_free.values())
        if min(sides) < SMALLEST_SIDE or not room:
            raise UserError(
                f"the spectral loss needs {SMALLEST_SIDE} x {SMALLEST_SIDE} cells without land, "
                f"but windows of {window[0]} x {window[1]} cells on this grid have none; enlarge "
                "autoencoder.training.window or set autoencoder.losses.spectral to 0"
            )


def _blocks(field: NDArray[Any], size: int) -> NDArray[Any]:
    """`y x` as `h p w p`, with blocks of `size` x `size` cells."""
    rows, columns = field.shape
    return field.reshape(rows // size, size, columns // size, size)
