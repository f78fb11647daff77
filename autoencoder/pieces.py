"""What the autoencoder's loss needs of states and their ocean within a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoder.boxes import Box
from autoencoder.mixing import mixed_state
from autoencoder.precision import single_or_better
from autoencoder.volume_vae import Decoded, VolumeVAE
from data.normalisation import Statistics
from data.state import State

# Land-free boxes, each with the channels of a state whose spectra are compared there.
SpectralBoxes = Sequence[tuple[Box, list[int]]]


class Counted(NamedTuple):
    """What the sums of a loss are divided by; None: the number of cells in the field.

    cells: of all variables; tracers: of temperature and salinity; pairs: between two wet cells
    """

    cells: float | None = None
    tracers: float | None = None
    pairs: float | None = None


class Inner(NamedTuple):
    """Rows and columns of a window within its halo, in latent cells or in cells of the grid."""

    rows: slice
    columns: slice

    def cut(self, field: Tensor) -> Tensor:
        """The part of `... y x` in the window."""
        return field[..., self.rows, self.columns]

    def times(self, factor: int) -> Inner:
        """The same window in cells that are `factor` times as small."""
        rows, columns = (slice(factor * s.start, factor * s.stop) for s in self)
        return Inner(rows, columns)


EVERYWHERE = Inner(slice(None), slice(None))
OF_THE_FIELD = Counted()


class Seam(NamedTuple):
    """Columns that are blended with their repetitions, see `Padding.seam`; both `2 x`."""

    partners: Tensor
    weights: Tensor

    def blend(self, field: Tensor) -> Tensor:
        """Blend `... y x`."""
        for partners, weights in zip(self.partners, self.weights.to(field), strict=True):
            field = torch.lerp(field, field[..., partners], weights)
        return field


class Window(NamedTuple):
    """A batch of states within one window; a batch as `training.loop.Trainer` sends it.

    surroundings: normalised states with a halo, the network's input `b c v u`
    states: `b c y x`, physical units; mean, wet: `c y x`, as in `Statistics`; thickness: `z y x`
        [m]; land and repetitions of columns are dry
    inner: the window within its halo, in latent cells
    """

    surroundings: Tensor
    states: Tensor
    mean: Tensor
    wet: Tensor
    thickness: Tensor
    inner: Inner
    counted: Counted
    seam: Seam | None = None
    boxes: SpectralBoxes = ()


@dataclass(frozen=True)
class Piece:
    """The part of a codec in a window; what a loss needs of a `VolumeCodec`."""

    vae: VolumeVAE
    statistics: Statistics
    grid_depth: Tensor
    thickness: Tensor
    inner: Inner
    mixing: bool
    seam: Seam | None = None

    def reconstruct(self, decoded: Decoded) -> State:
        """The states in the window, from the VAE decoder's output with its halo."""
        inner = self.inner.times(self.vae.design.factor)
        fields, raw = (inner.cut(self._blended(single_or_better(part))) for part in decoded)
        physical = self.statistics.to_physical(fields)
        if not self.mixing:
            return State.from_channels(physical, levels=self.statistics.levels)
        thickness = self.thickness.to(physical.dtype)
        return mixed_state(physical, raw, thickness, self.statistics.wet)

    def _blended(self, field: Tensor) -> Tensor:
        return field if self.seam is None else self.seam.blend(field)
