"""The states of an archive in a CF NetCDF file, written state by state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from data.archive.dataset import open_archive
from data.atomic import atomic_write

NETCDF_SUFFIX = ".nc"


def write_netcdf(archive: Path, output: Path) -> None:
    """Write the dataset of `open_archive` to a NetCDF file, whole or not at all.

    Raises `UserError` if the archive is damaged or the file cannot be written.
    """
    dataset = open_archive(archive)
    fields = list(dataset.data_vars)
    states = dataset[fields[0]].dims[0]
    with atomic_write(output) as partial:
        first = dataset.isel({states: slice(0, 1)})
        first.to_netcdf(
            partial, engine="netcdf4", unlimited_dims=[states], encoding=_encoding(first)
        )
        with netCDF4.Dataset(partial, "a") as file:
            file.set_auto_mask(False)
            for name, variable in dataset.coords.items():
                if variable.dims == (states,):
                    file[str(name)][:] = variable.values
            for index in range(1, dataset.sizes[states]):
                for name in fields:
                    file[str(name)][index] = dataset[name][index].values


def _encoding(first: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Fields in chunks of one state, compressed; no fill value where every cell has a number."""
    encoding: dict[str, dict[str, Any]] = {str(name): {"_FillValue": None} for name in first.coords}
    for name, field in first.data_vars.items():
        encoding[str(name)] = {
            "_FillValue": np.float32(np.nan),
            "chunksizes": field.shape,
            "zlib": True,
            "complevel": 1,
            "shuffle": True,
        }
    return encoding
