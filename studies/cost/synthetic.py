"""A synthetic ocean of any size without land, and random states of it, for cost measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import UserError
from data.grid import OceanGrid
from data.state import State

OCEAN_DEPTH = 4000.0  # m
NOISE = 0.25  # K; a third of the columns is unstable, as in unguided samples of the quickstart


@dataclass
class SyntheticArchive:
    """A `data.archive.protocol.Archive` of random stratified states on an all-wet grid, in memory.

    samples: number of states; the last `held_out` are for validation, the others for training
    noise: standard deviation of the temperature around its profile [K]
    """

    grid: OceanGrid
    _: KW_ONLY
    has_sea_level: bool
    samples: int = 3
    held_out: int = 1
    noise: float = 1.0
    path: Path = Path("synthetic")
    equation_of_state: str = "nemo-seos"
    salinity_units: str = "1e-3"

    @property
    def digest(self) -> str:
        """Identifies the states by their grid."""
        return f"synthetic {self.grid.digest}"

    def indices(self, split: str) -> NDArray[np.int64]:
        """Indices of the split "train" or "validation"."""
        training, validation = np.split(np.arange(self.samples), [self.samples - self.held_out])
        return {"train": training, "validation": validation}[split]

    def read(self, indices: Sequence[int] | np.ndarray) -> State:
        """Stratified states with noise that depends on the index only."""
        states = [self._state(int(index)) for index in indices]
        return State.cat(states)

    def _state(self, index: int) -> State:
        generator = torch.Generator().manual_seed(index)
        levels, rows, columns = self.grid.shape
        profile = torch.linspace(20, 2, levels)[:, None, None]
        temperature, salinity = torch.randn(2, 1, levels, rows, columns, generator=generator)
        sea_level = 0.1 * torch.randn(1, rows, columns, generator=generator)
        return State(
            self.noise * temperature + profile,
            35 + 0.1 * self.noise * salinity - 0.05 * profile,
            sea_level if self.has_sea_level else None,
        )


def synthetic_grid(levels: int, rows: int, columns: int, *, periodic_x: bool) -> OceanGrid:
    """An ocean without land, 4000 m deep, with `levels` layers that thicken with depth."""
    weights = np.linspace(0.1, 1.9, levels) if levels > 1 else np.ones(1)
    layers = OCEAN_DEPTH * weights / weights.sum()
    shape = (levels, rows, columns)
    return OceanGrid(
        depth=np.cumsum(layers) - 0.5 * layers,
        thickness=np.broadcast_to(layers[:, None, None], shape).copy(),
        area=np.full((rows, columns), 6e8),
        wet=np.ones(shape, dtype=bool),
        longitude=np.arange(columns) * 360.0 / columns,
        latitude=np.linspace(-70, 70, rows),
        periodic_x=periodic_x,
    )


def parse_shape(text: str) -> tuple[int, int, int]:
    """Levels, rows and columns from "36x800x256"; raises `UserError` for anything else."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise UserError(f"unknown grid '{text}'; write levels x rows x columns, as in 36x800x256")
    levels, rows, columns = map(int, parts)
    return levels, rows, columns
