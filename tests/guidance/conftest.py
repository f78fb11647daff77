"""A small ocean with a sloping bottom, partial cells and an island, and random states of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from data.grid import OceanGrid, wet_tensor
from data.state import State

LEVELS, ROWS, COLUMNS = 8, 6, 5


@pytest.fixture
def grid() -> OceanGrid:
    faces = np.cumsum([0, 10, 15, 25, 40, 80, 200, 500, 900.0])
    random = np.random.default_rng(1)
    thickness = np.diff(faces)[:, None, None] * np.ones((LEVELS, ROWS, COLUMNS))
    wet_levels = random.integers(3, LEVELS + 1, (ROWS, COLUMNS))
    wet_levels[2, 2], wet_levels[4, 1] = 0, 1
    level = np.arange(LEVELS)[:, None, None]
    thickness[level == wet_levels - 1] *= 0.3
    return OceanGrid(
        depth=0.5 * (faces[1:] + faces[:-1]),
        thickness=thickness,
        area=random.uniform(1e9, 2e9, (ROWS, COLUMNS)),
        wet=level < wet_levels,
        longitude=np.arange(COLUMNS, dtype=float),
        latitude=np.arange(ROWS, dtype=float),
    )


@pytest.fixture
def noisy_state(grid: OceanGrid) -> Callable[..., State]:
    """Function (batch, noise [K], dtype) -> thermocline below a 50 m mixed layer, plus noise."""

    def build(batch: int = 3, *, noise: float = 0.5, dtype: torch.dtype = torch.float32) -> State:
        random = torch.Generator().manual_seed(5)
        depth = torch.from_numpy(grid.depth)[:, None, None]
        profile = 4 + 14 * torch.exp(-(depth - 50).clamp(min=0) / 300)
        shape = (batch, *grid.shape)
        temperature = profile + noise * torch.randn(shape, generator=random, dtype=torch.float64)
        salinity = 35 + 0.2 * noise * torch.randn(shape, generator=random, dtype=torch.float64)
        wet = wet_tensor(grid)
        return State((temperature * wet).to(dtype), (salinity * wet).to(dtype))

    return build
