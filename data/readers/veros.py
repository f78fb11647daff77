"""Veros output: snapshots, and restarts on the grid of a snapshot.

A snapshot is NetCDF with dimensions `Time, zt, yt, xt`, levels from the sea floor up, depths
negative, land filled with -1e18, and the grid (`dzt`, `area_t`). A restart is HDF5 with ghost cells
and three time levels (`core/tau` is the current one) but no grid (`data.veros_layout`). A year has
360 days.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.checks import require
from data.errors import UserError
from data.readers.base import ModelOutput
from data.readers.cf import from_dataset, open_dataset
from data.readers.settings import VerosReader
from data.remote import located
from data.units import SECONDS_PER_DAY
from data.veros_layout import INTERIOR, h5py

_NAMES = {
    "temperature": "temp",
    "salinity": "salt",
    "depth": "zt",
    "longitude": "xt",
    "latitude": "yt",
    "mask": "wet",
    "area": "area_t",
    "thickness": "dzt",
}
_VOLUME = ("zt", "yt", "xt")
_RESTART = ("core/temp", "core/salt", "core/tau", "core/time")
_FILL_BELOW = -1e17  # the fill value is -1e18
_CALENDAR = "360_day"


def open_output(reader: VerosReader, *paths: Path) -> ModelOutput:
    """Open a snapshot file, or a restart with the grid of `grid_files`.

    Raises UserError for any other file, a restart without its grid or of another one, and as
    `CfReader.open` does.
    """
    (path,) = paths
    dataset = _restart(path, reader.grid_files) if _is_restart(path) else _snapshot(path)
    dataset["Time"].attrs.setdefault("calendar", _CALENDAR)
    conventions = reader.with_names(_NAMES, depth_positive="up")
    return from_dataset(dataset, path=path, conventions=conventions)


def _snapshot(path: Path) -> xr.Dataset:
    """The file, with its wet mask."""
    dataset = open_dataset(path)
    names = [name for name in (*_NAMES.values(), "Time") if name != "wet"]
    expected = "a snapshot file of Veros, or a restart (.h5)"
    require(names, dataset.variables, path=path, expected=expected)
    if not dataset.sizes["Time"]:
        raise UserError(f"{path} has no time step: Veros has not written a snapshot yet.")
    first = dataset["temp"][0].values
    if first.shape != tuple(dataset.sizes[name] for name in _VOLUME):
        raise UserError(f"temp of {path} has another order of dimensions than Time, zt, yt, xt.")
    return dataset.assign(wet=(_VOLUME, np.isfinite(first) & (first > _FILL_BELOW)))


def _restart(path: Path, grid_files: Path | None) -> xr.Dataset:
    """The restart's state with the snapshot's grid, in the snapshot's layout."""
    if grid_files is None:
        raise UserError(
            f"{path} is a restart, which has no grid: give a snapshot file of the same set-up as "
            "data.ingest.grid_files."
        )
    with _snapshot(grid_files) as snapshot:
        grid = snapshot[[*_NAMES.values()]].drop_vars(["temp", "salt"]).drop_dims("Time").load()
    with h5py().File(located(path)) as file:
        stored = {name: np.asarray(file[name][...]) for name in _RESTART}
    now = int(stored["core/tau"])
    fields = {
        name.removeprefix("core/"): _from_x_y_z(stored[name], now, path) for name in _RESTART[:2]
    }
    _check_grid(fields["salt"], grid, path, grid_files)
    days = [float(stored["core/time"]) / SECONDS_PER_DAY]
    return grid.assign(
        {name: (("Time", *_VOLUME), values[None]) for name, values in fields.items()}
    ).assign_coords(Time=("Time", days, {"units": "days"}))


def _from_x_y_z(stored: NDArray[np.floating], now: int, path: Path) -> NDArray[np.floating]:
    """`z y x` from the sea floor up, without ghost cells, at the time level `now`."""
    if stored.ndim != 4 or stored.shape[-1] <= now:
        raise UserError(
            f"a field of {path} has shape {stored.shape}: expected Veros' x, y, z and 3 times."
        )
    return stored[INTERIOR][..., now].T


def _check_grid(
    salinity: NDArray[np.floating], grid: xr.Dataset, path: Path, grid_files: Path
) -> None:
    wet = grid["wet"].values
    if salinity.shape != wet.shape:
        raise UserError(
            f"{path} has {salinity.shape} cells (z, y, x), {grid_files} {wet.shape}: give a "
            "snapshot file of the same set-up as data.ingest.grid_files."
        )
    different = int(((salinity != 0) != wet).sum())
    if different:
        raise UserError(
            f"{path} has another set-up than {grid_files}: {different} cells are wet in only one "
            "of them; give a snapshot file of the same set-up as data.ingest.grid_files."
        )


def _is_restart(path: Path) -> bool:
    """Whether the file is HDF5 with the fields of a restart."""
    if path.suffix not in {".h5", ".hdf5"}:
        return False
    try:
        with h5py().File(located(path)) as file:
            missing = [name for name in _RESTART if name not in file]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error}): expected a restart that Veros wrote."
        ) from error
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}: expected a restart of Veros.")
    return True
