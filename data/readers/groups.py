"""Groups inside NetCDF and zarr files, which are not read, must not hide fields."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import xarray as xr
import zarr

from data.errors import UserError
from data.readers.settings import Variables
from data.readers.stores import is_zarr, store_of
from data.readers.variables import main_quantities
from data.remote import located


def check_groups(path: Path) -> None:
    """Raise UserError if a group of the file holds temperature, salinity or sea level."""
    holding = [name for name in _groups(path) if _quantities(path, name)]
    if holding:
        found = ", ".join(sorted(_quantities(path, holding[0])))
        raise UserError(
            f"{path} has {found} in its groups {', '.join(holding)}: expected the variables of one "
            "output outside groups; copy the group to a file of its own (ncks -g)."
        )


def _groups(path: Path) -> list[str]:
    if is_zarr(path):
        return sorted(name for name, _ in zarr.open_group(store_of(path), mode="r").groups())
    try:
        with netCDF4.Dataset(located(path)) as file:
            return sorted(file.groups)
    except OSError:
        return []  # opening it raises the error


def _quantities(path: Path, group: str) -> frozenset[str]:
    if is_zarr(path):
        dataset = xr.open_zarr(store_of(path), group=group, decode_times=False, chunks=None)
    else:
        dataset = xr.open_dataset(located(path), group=group, decode_times=False)
    with dataset:
        return main_quantities(dataset, Variables())
