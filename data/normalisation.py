"""Normalise states by a climatology per cell and a standard deviation per level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from data.archive.protocol import Archive
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State

SMALLEST_STD = 0.01  # of the largest level's; below that, normalising would amplify rounding errors


class Statistics(nn.Module):
    """Mean and standard deviation of the training states, in the channel order of `State`.

    mean: `c y x`, climatology of each cell over the training states [degC, 1e-3 or g/kg, m]; land 0
    std: `c`, standard deviation over wet cells and samples of the anomaly from that climatology,
        [same units]; at least 1 % of the largest level's of the same variable; 1 where all is land
    wet: `c y x`, True in the ocean
    levels: z; c is 2 z, or 2 z + 1 with sea level
    grid_digest: `OceanGrid.digest` of the training grid
    """

    mean: Tensor
    std: Tensor
    wet: Tensor

    def __init__(
        self, mean: Tensor, std: Tensor, wet: Tensor, *, levels: int, grid_digest: str
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("wet", wet)
        self.levels = levels
        self.grid_digest = grid_digest

    @classmethod
    def from_archive(
        cls, archive: Archive, *, indices: Sequence[int] | NDArray[np.integer]
    ) -> Statistics:
        """Statistics of the states at `indices`, streamed in one pass.

        Raises UserError for fewer than two states.
        """
        if len(indices) < 2:
            raise UserError(
                f"{archive.path} has {len(indices)} states for the statistics: expected 2 or more."
            )
        wet = channel_mask(archive.grid, sea_level=archive.has_sea_level)
        mean, variance = _moments(archive, indices)
        levels = archive.grid.shape[0]
        std = _floored(_level_std(variance, wet), levels, has_wet=wet.flatten(1).any(1))
        del variance
        return cls(
            _single(mean, wet), std.float(), wet, levels=levels, grid_digest=archive.grid.digest
        )

    @property
    def channels(self) -> int:
        """Number of channels c."""
        return len(self.std)

    def channels_at(self, level: int) -> list[int]:
        """The channels of a level: temperature, salinity and, at the surface, sea level if any."""
        sea_level = level == 0 and self.channels > 2 * self.levels
        return [level, self.levels + level] + [2 * self.levels] * sea_level

    def normalise(self, state: State) -> Tensor:
        """`b c y x`, dimensionless, about unit variance on each level; land 0."""
        anomaly = (state.to_channels() - self.mean) / self.std[:, None, None]
        return torch.where(self.wet, anomaly, 0)

    def denormalise(self, normalised: Tensor, *, rows: slice = slice(None)) -> State:
        """The inverse of `normalise`: `b c y x` of `rows` to a physical state, land 0."""
        return State.from_channels(self.to_physical(normalised, rows=rows), levels=self.levels)

    def to_physical(self, normalised: Tensor, *, rows: slice = slice(None)) -> Tensor:
        """As `denormalise`, returning channels `b c y x`."""
        # On land both the mean and the scale are 0.
        unit = self.wet[:, rows] * self.std[:, None, None]
        return torch.addcmul(self.mean[:, rows], normalised, unit)

    def check_grid(self, grid: OceanGrid) -> None:
        """Raise UserError if `grid` is not the training grid."""
        if grid.digest == self.grid_digest:
            return
        wet = self.wet[: self.levels].cpu()
        levels, rows, columns = grid.shape
        trained = "the model was trained on"
        if levels != self.levels:
            fewer = "fewer" if levels < self.levels else "more"
            problem = (
                f"the archive has {levels} levels, {fewer} than the {self.levels} that {trained}"
            )
        elif (rows, columns) != tuple(wet.shape[1:]):
            problem = (
                f"the archive has {rows} x {columns} cells, but {trained} {tuple(wet.shape[1:])}"
            )
        elif not torch.equal(wet, wet_tensor(grid)):
            cells = int((wet != wet_tensor(grid)).sum())
            problem = f"the archive's wet mask differs in {cells} cells from the one that {trained}"
        else:
            problem = f"the archive's depths differ from those that {trained}"
        raise UserError(f"{problem}: use a model of this grid, or train one.")


def channel_mask(grid: OceanGrid, *, sea_level: bool) -> Tensor:
    """Wet mask `c y x` (bool) in the channel order of `State.to_channels`."""
    wet = wet_tensor(grid)
    return torch.cat([wet, wet, wet[:1]] if sea_level else [wet, wet])


def _moments(
    archive: Archive, indices: Sequence[int] | NDArray[np.integer]
) -> tuple[Tensor, Tensor]:
    """Mean and variance of each cell over the samples, `c y x` float64, by Welford's update.

    In place and channel by channel, because both and a state of a large grid fill the memory.
    """
    levels, *cells = archive.grid.shape
    channels = 2 * levels + archive.has_sea_level
    mean, variance = torch.zeros(2, channels, *cells, dtype=torch.float64)
    for count, index in enumerate(tqdm(indices, desc="statistics", unit="state", leave=False), 1):
        rows = zip(_channels(archive.read([int(index)])), mean, variance, strict=True)
        for values, average, squares in rows:
            value = values.double()
            change = value - average
            average += change / count
            squares += change.mul_(value.sub_(average))
    return mean, variance.div_(len(indices))


def _channels(state: State) -> list[Tensor]:
    """The channels `y x` of a state (batch 1), in the order of `State.to_channels`, not copied."""
    levels = [*state.temperature[0], *state.salinity[0]]
    return levels if state.sea_level is None else [*levels, state.sea_level[0]]


def _single(mean: Tensor, wet: Tensor) -> Tensor:
    """`c y x` in single precision, 0 on land."""
    single = torch.empty(mean.shape)
    for channel, cells, values in zip(single, wet, mean, strict=True):
        channel.copy_(torch.where(cells, values, 0))
    return single


def _level_std(variance: Tensor, wet: Tensor) -> Tensor:
    """Root of the mean variance over the wet cells of each channel, `c`; 0 where all is land.

    variance: `c y x`, set to 0 on land
    """
    cells = wet.flatten(1).sum(1)
    total = variance.mul_(wet).flatten(1).sum(1)
    return (total / cells.clamp(min=1)).sqrt()


def _floored(std: Tensor, levels: int, *, has_wet: Tensor) -> Tensor:
    """`std` with the floor of each variable; dry levels and constant variables get 1."""
    sizes = [levels, levels] + [1] * (len(std) - 2 * levels)
    floored = torch.cat(
        [part.clamp(min=SMALLEST_STD * part.max().item()) for part in std.split(sizes)]
    )
    return torch.where(has_wet & (floored > 0), floored, 1.0)
