"""MITgcm output: NetCDF or zarr with partial cells, or the model's own binary files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.readers.base import ModelOutput
from data.readers.cf import from_dataset, open_together
from data.readers.lazy import lazy_variable
from data.readers.mds import MdsField, MdsFolder
from data.readers.mds_streams import choose_streams
from data.readers.positions import filled
from data.readers.settings import MdsReader, MitgcmReader, Variables
from data.readers.variables import find_variables
from data.urls import RemotePath

_GRID = ("hFacC", "XC", "YC", "RC", "DRF", "RAC")
_VARIABLES_OF_GRID = ("mask", "area", "thickness", "depth", "longitude", "latitude")
_VOLUME = ("z", "y", "x")


def open_output(reader: MitgcmReader, *paths: Path) -> ModelOutput:
    """Open one output. Raises UserError as `CfReader.open` does."""
    dataset = open_together(paths)
    depth = find_variables(dataset, paths[0], reader.variables).variables["depth"]
    upward = bool((depth.values <= 0).all())
    changes = {"depth_positive": "up"} if upward else {}
    conventions = reader.model_copy(update=changes)
    return from_dataset(dataset, path=paths[0], conventions=conventions)


def open_folder(reader: MdsReader, *paths: Path) -> ModelOutput:
    """Open the folder of a run.

    Raises UserError for missing fields, grid files, tiles or times, and as `CfReader.open`
    does.
    """
    (folder,) = paths
    if isinstance(folder, RemotePath):
        raise UserError(
            f"{folder} is a URL: expected a folder of this machine with .data and .meta files; "
            "copy the folder and give its path."
        )
    run = MdsFolder(folder)
    grid, wet, covered = _grid(MdsFolder(reader.grid_files) if reader.grid_files else run)
    series = choose_streams(run, reader.variables, shape=wet.shape)
    temperature = series["temperature"]
    dataset = grid
    for quantity, fields in series.items():
        dataset[quantity] = _lazy(run, list(fields.values()), wet, covered)
    seconds = [_seconds(field, step, reader.time_step) for step, field in temperature.items()]
    dataset = dataset.assign_coords(time=("time", seconds, {"units": "seconds"}))
    names = Variables(**{name: name for name in (*series, *_VARIABLES_OF_GRID)})
    conventions = reader.model_copy(update={"variables": names, "depth_positive": "down"})
    return from_dataset(dataset, path=folder, conventions=conventions)


def _grid(folder: MdsFolder) -> tuple[xr.Dataset, NDArray[np.bool_], NDArray[np.bool_]]:
    """The grid's variables, its wet cells `z y x`, and the columns `y x` that have a tile.

    Columns without a tile are land.
    """
    fields = {name: folder.constant(name) for name in _GRID}
    missing = [name for name, field in fields.items() if field is None]
    if missing:
        raise UserError(
            f"{folder.path} has no {', '.join(missing)}: the grid and its land are taken from "
            f"{', '.join(_GRID)} (.data and .meta); give their folder as data.ingest.grid_files."
        )
    grid = {name: field.read().astype(np.float64) for name, field in fields.items() if field}
    open_part = np.nan_to_num(grid["hFacC"].reshape(-1, *grid["hFacC"].shape[-2:]), nan=0.0)
    height = grid["DRF"].reshape(-1, 1, 1)
    x, y, units = _positions(filled(grid["XC"], 0), filled(grid["YC"], 1))
    x_dims, y_dims = (_VOLUME[2:], _VOLUME[1:2]) if x.ndim == 1 else (_VOLUME[1:], _VOLUME[1:])
    dataset = xr.Dataset(
        {
            "mask": (_VOLUME, open_part > 0),
            "area": (_VOLUME[1:], grid["RAC"]),
            "thickness": (_VOLUME, open_part * height),
            "depth": (_VOLUME[:1], -grid["RC"].reshape(-1), {"units": "m"}),
            "longitude": (x_dims, x, {"units": units}),
            "latitude": (y_dims, y, {"units": units}),
        }
    )
    covered = next(field.covered for name, field in fields.items() if field and name == "hFacC")
    return dataset, open_part > 0, covered


def _positions(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Positions of cell centres and their units; `x` and `y` on a regular grid, else both `y x`.

    MITgcm's files do not distinguish degrees from metres; no basin is so small in metres.
    """
    units = "degrees" if np.abs(y).max() <= 90 and np.abs(x).max() <= 720 else "m"
    if (x == x[:1]).all() and (y == y[:, :1]).all():
        return x[0], y[:, 0], units
    return x, y, units


def _lazy(
    run: MdsFolder,
    fields: list[MdsField],
    wet: NDArray[np.bool_],
    covered: NDArray[np.bool_],
) -> xr.Variable:
    shape = wet.shape[-len(fields[0].shape) :]
    for field in fields:
        if field.shape != shape:
            raise UserError(
                f"{field.name} of {run.path} has {field.shape} cells, the grid {shape}: give "
                "output and grid of one run."
            )
        field.check_tiles(np.asarray(wet.any(axis=0)), covered)
    return lazy_variable(
        ("time", *_VOLUME[-len(shape) :]),
        lambda records: np.stack([fields[record].read() for record in records]),
        shape=(len(fields), *shape),
        dtype=fields[0].dtype,
    )


def _seconds(field: MdsField, step: int, time_step: float | None) -> float:
    if field.seconds is not None:
        return field.seconds
    if time_step is None:
        raise UserError(
            f"the .meta files of {field.name} do not state the model time: give the model's "
            "tracer time step [s] as data.ingest.time_step."
        )
    return step * time_step
