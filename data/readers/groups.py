"""Groups inside NetCDF and zarr files, which are not read, must not hide fields."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import xarray as xr
import zarr

from data.archive.format import open_store
from data.errors import UserError
from data.readers.settings import Variables
from data.readers.variables import main_quantities


def is_zarr(path: Path) -> bool:
    """Whether the path is a zarr store: a folder or a zip."""
    return path.is_dir() or path.suffix == ".zip"


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
        return sorted(name for name, _ in zarr.open_group(open_store(path), mode="r").groups())
    try:
        with netCDF4.Dataset(path) as file:
            return sorted(file.groups)
    except OSError:
        return []  # opening it raises the error


def _quantities(path: Path, group: str) -> frozenset[str]:
    if is_zarr(path):
        dataset = xr.open_zarr(open_store(path), group=group, decode_times=False, chunks=None)
    else:
        dataset = xr.open_dataset(path, group=group, decode_times=False)
    with dataset:
        return main_quantities(dataset, Variables())
