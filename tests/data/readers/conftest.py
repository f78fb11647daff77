"""A small ocean in a CF file, and its way into an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data.archive.reader import StateArchive
from data.ingest import ingest
from data.ingest_settings import IngestSettings

VOLUME = ("time", "depth", "lat", "lon")
FLAT = ("time", "lat", "lon")
DEPTH = [10.0, 50.0, 200.0, 1000.0, 3000.0]
WET = np.ones((5, 6, 8), bool)
WET[:, :2, :3] = False
WET[3:, 4, 5] = False


def _ocean(*, land: float = np.nan) -> xr.Dataset:
    """12 years of 5 x 6 x 8 cells, with a block of land in the south-west."""
    random = np.random.default_rng(0)
    profile = np.array([20.0, 17, 11, 5, 2])[:, None, None]
    fields = {
        "thetao": np.where(WET, profile + 0.1 * random.normal(size=(12, *WET.shape)), land),
        "so": np.where(WET, 35 + 0.01 * random.normal(size=(12, *WET.shape)), land),
        "zos": np.where(WET[0], 0.1 * random.normal(size=(12, *WET.shape[1:])), land),
    }
    units = {"thetao": "degC", "so": "1e-3", "zos": "m"}
    return xr.Dataset(
        {
            name: (VOLUME if values.ndim == 4 else FLAT, values.astype("f4"), {"units": unit})
            for (name, values), unit in zip(fields.items(), units.values(), strict=True)
        },
        coords={
            "time": ("time", 360.0 * np.arange(12), {"units": "days", "calendar": "360_day"}),
            "depth": ("depth", DEPTH, {"units": "m", "positive": "down"}),
            "lat": ("lat", -25.0 + 10 * np.arange(6), {"units": "degrees_north"}),
            "lon": ("lon", 5.0 + 10 * np.arange(8), {"units": "degrees_east"}),
        },
    )


@pytest.fixture
def ocean() -> Callable[..., xr.Dataset]:
    """Makes a dataset of the file: `ocean(land=1e20)`; land is NaN by default."""
    return _ocean


@pytest.fixture
def wet() -> np.ndarray:
    """The wet mask of the file, `z y x`."""
    return WET.copy()


@pytest.fixture
def into_archive(tmp_path: Path) -> Callable[..., StateArchive]:
    """Writes a dataset (or takes a path), ingests it and opens the archive.

    No `_FillValue` is declared, unless `encoding` does so.
    """

    def write(source: xr.Dataset | Path, *, encoding=None, **settings) -> StateArchive:
        path = source
        if isinstance(source, xr.Dataset):
            path = tmp_path / "ocean.nc"
            blank = {str(name): {"_FillValue": None} for name in source.variables}
            source.to_netcdf(path, encoding=blank | (encoding or {}))
        split = {"train": 0.5, "validation": 0.2, "gap_years": 1}
        defaults = {"equation_of_state": "jmd95", "split": split}
        described = IngestSettings(files=[str(path)], **(defaults | settings))
        ingest(described, output=tmp_path / "out.zarr")
        return StateArchive.open(tmp_path / "out.zarr")

    return write
