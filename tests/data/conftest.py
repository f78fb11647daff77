"""A small ocean for the tests of the data room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from data.archive.writer import ArchiveWriter
from data.grid import OceanGrid
from data.readers.base import ModelOutput
from data.readers.settings import NemoReader
from data.state import State

LEVELS, ROWS, COLUMNS = 4, 6, 5


@pytest.fixture
def dino_output(shared_data) -> ModelOutput:
    """The real output of NEMO in the DINO configuration, on its own mesh."""
    folder = shared_data / "nemo_dino4deg"
    return NemoReader(periodic_x=True, mesh_mask=folder / "mesh_mask.nc").open(
        folder / "nemo_dino_4deg.nc"
    )


@pytest.fixture
def small_grid() -> OceanGrid:
    """4 x 6 x 5 cells, periodic in x, a wall in the south and a sill below the second level."""
    wet = np.ones((LEVELS, ROWS, COLUMNS), dtype=bool)
    wet[:, 0] = False
    wet[2:, 3, 2] = False
    return OceanGrid(
        depth=np.array([10.0, 50.0, 200.0, 1000.0]),
        thickness=np.array([20.0, 60.0, 240.0, 1360.0])[:, None, None] * wet,
        area=np.full((ROWS, COLUMNS), 4e8),
        wet=wet,
        longitude=np.arange(COLUMNS) * 2.0,
        latitude=np.arange(ROWS) * 2.0 - 6.0,
        periodic_x=True,
    )


def _random_state(grid: OceanGrid, *, seed: int, batch: int = 1, sea_level: bool = True) -> State:
    """A warm, stratified ocean with noise; land 0."""
    generator = torch.Generator().manual_seed(seed)
    wet = torch.from_numpy(grid.wet)
    noise = torch.randn((2, batch, *grid.shape), generator=generator)
    warmth = torch.tensor([20.0, 15.0, 8.0, 2.0])[:, None, None]
    zos = 0.1 * torch.randn((batch, *grid.shape[1:]), generator=generator) * wet[0]
    return State((warmth + noise[0]) * wet, (35 + 0.1 * noise[1]) * wet, zos if sea_level else None)


@pytest.fixture
def random_state() -> Callable[..., State]:
    """Draws states: `random_state(grid, seed=0, batch=1, sea_level=True)`."""
    return _random_state


@pytest.fixture
def write_archive(small_grid: OceanGrid, tmp_path: Path) -> Callable[..., Path]:
    """Writes an archive of `samples` random states and returns its path."""

    def write(
        name: str = "small.zarr",
        *,
        samples: int = 10,
        sea_level: bool = True,
        rounding: bool = False,
        units: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with ArchiveWriter(
            path,
            grid=small_grid,
            equation_of_state="jmd95",
            sea_level=sea_level,
            rounding=rounding,
            units=units,
        ) as writer:
            for sample in range(samples):
                writer.append(
                    _random_state(small_grid, seed=sample, sea_level=sea_level),
                    member=sample // 5,
                    time=float(sample % 5),
                    split=[0, 0, 1, -1, 2][sample % 5],
                    parameters={"gm_diffusivity": 1000.0 * (1 + sample // 5)},
                )
        return path

    return write


_DEPTH = np.array([10.0, 50.0, 200.0])
_VOLUME = ("time", "depth", "lat", "lon")


def _ocean(*, times: int = 6, seed: int = 0) -> xr.Dataset:
    generator = np.random.default_rng(seed)
    wet = np.ones((3, 4, 5), bool)
    wet[:, 0, :2] = wet[2, 2, 3] = False
    profile = np.array([20.0, 15.0, 8.0])[:, None, None]
    noise = generator.normal(size=(3, times, 3, 4, 5)).astype("f4")
    t, s, z = profile + noise[0], 35 + 0.1 * noise[1], 0.1 * noise[2][:, 0]
    clock = {"units": "days since 0001-01-01", "calendar": "noleap"}
    return xr.Dataset(
        {
            "thetao": (
                _VOLUME,
                np.where(wet, t, np.nan).astype("f4"),
                {"standard_name": "sea_water_potential_temperature", "units": "degC"},
            ),
            "so": (
                _VOLUME,
                np.where(wet, s, np.nan).astype("f4"),
                {"standard_name": "sea_water_salinity", "units": "1e-3"},
            ),
            "zos": (
                ("time", "lat", "lon"),
                np.where(wet[0], z, np.nan).astype("f4"),
                {"standard_name": "sea_surface_height_above_geoid", "units": "m"},
            ),
        },
        coords={
            "time": ("time", 365.0 * np.arange(times), clock),
            "depth": ("depth", _DEPTH, {"standard_name": "depth", "units": "m"}),
            "lat": ("lat", 10.0 * np.arange(4) - 25, {"units": "degrees_north"}),
            "lon": ("lon", 10.0 * np.arange(5) + 5, {"units": "degrees_east"}),
        },
    )


@pytest.fixture
def ocean() -> Callable[..., xr.Dataset]:
    """Makes CF output of a small ocean, a state a year; NaN on land: `ocean(times=6, seed=0)`."""
    return _ocean
