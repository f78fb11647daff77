"""MITgcm output: CF files with partial cells (`drf` and `hfac`), or the model's binary files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from data.errors import UserError
from data.readers.base import ModelOutput, Reader, Variables
from data.readers.cf import from_dataset, open_dataset
from data.readers.lazy import lazy_variable
from data.readers.mds import MdsField, MdsFolder

# Names of snapshots, then of diagnostics.
_FIELDS = {"temperature": ("T", "THETA"), "salinity": ("S", "SALT"), "sea_level": ("Eta", "ETAN")}
_GRID = ("hFacC", "XC", "YC", "RC", "DRF", "RAC")
_VARIABLES_OF_GRID = ("mask", "area", "thickness", "depth", "longitude", "latitude")
_VOLUME = ("z", "y", "x")


class MitgcmReader(Reader):
    """MITgcm's output as CF files; if they have `hfac`, cells are `drf * hfac` thick [m]."""

    name: Literal["mitgcm"] = "mitgcm"

    def open(self, *paths: Path) -> ModelOutput:
        """Open one file. Raises UserError as `CfReader.open` does."""
        (path,) = paths
        dataset = open_dataset(path)
        if not {"drf", "hfac"} <= set(dataset.variables) or self.variables.thickness:
            return from_dataset(dataset, path=path, conventions=self)
        dataset["cell_height"] = dataset["hfac"] * dataset["drf"]
        conventions = self.with_names({"thickness": "cell_height"})
        return from_dataset(dataset, path=path, conventions=conventions)


class MdsReader(Reader):
    """MITgcm's binary files, `.data` and `.meta` (`data.readers.mds`)."""

    name: Literal["mitgcm-mds"] = "mitgcm-mds"
    grid_files: Path | None = Field(
        None, description="folder of hFacC, XC, YC, RC, DRF and RAC; default: the run's own"
    )
    time_step: float | None = Field(
        None, gt=0, description="time step of the tracers [s], for .meta files without time"
    )

    def open(self, *paths: Path) -> ModelOutput:
        """Open the folder of a run.

        Raises UserError for missing fields, grid files, tiles or times, and as `CfReader.open`
        does.
        """
        (folder,) = paths
        run = MdsFolder(folder)
        series = _series(run, self.variables)
        dataset = _grid_dataset(MdsFolder(self.grid_files) if self.grid_files else run)
        temperature = series["temperature"]
        for quantity, fields in series.items():
            _check_steps(run, temperature, fields)
            dataset[quantity] = _lazy(run, list(fields.values()), dict(dataset.sizes))
        seconds = [_seconds(field, step, self.time_step) for step, field in temperature.items()]
        dataset = dataset.assign_coords(time=("time", seconds, {"units": "seconds"}))
        names = Variables(**{name: name for name in (*series, *_VARIABLES_OF_GRID)})
        conventions = self.model_copy(update={"variables": names, "depth_positive": "down"})
        return from_dataset(dataset, path=folder, conventions=conventions)


def _series(run: MdsFolder, names: Variables) -> dict[str, dict[int, MdsField]]:
    """Fields by time step, keyed by quantity; sea level only if present."""
    other = set(names.model_dump(exclude_none=True)) - set(_FIELDS)
    if other:
        raise UserError(
            f"variables.{min(other)} cannot be set for MITgcm's binary files: their grid is "
            f"always {', '.join(_GRID)}."
        )
    found = {}
    for quantity, customary in _FIELDS.items():
        given = getattr(names, quantity)
        candidates = (given,) if given else customary
        series = next(filter(None, map(run.series, candidates)), None)
        if series is not None:
            found[quantity] = series
        elif given or quantity != "sea_level":
            raise UserError(
                f"{run.path} has no {quantity} {' or '.join(candidates)}: it has "
                f"{', '.join(run.fields) or 'no fields over time'}; name it in the settings as "
                f"variables.{quantity}."
            )
    return found


def _grid_dataset(folder: MdsFolder) -> xr.Dataset:
    fields = {name: folder.constant(name) for name in _GRID}
    missing = [name for name, field in fields.items() if field is None]
    if missing:
        raise UserError(
            f"{folder.path} has no {', '.join(missing)}: the grid and its land are taken from "
            f"{', '.join(_GRID)} (.data and .meta); give their folder as grid_files."
        )
    grid = {name: field.read().astype(np.float64) for name, field in fields.items() if field}
    open_part = grid["hFacC"].reshape(-1, *grid["hFacC"].shape[-2:])
    height = grid["DRF"].reshape(-1, 1, 1)
    x, y, units = _positions(grid["XC"], grid["YC"])
    x_dims, y_dims = (_VOLUME[2:], _VOLUME[1:2]) if x.ndim == 1 else (_VOLUME[1:], _VOLUME[1:])
    return xr.Dataset(
        {
            "mask": (_VOLUME, open_part > 0),
            "area": (_VOLUME[1:], grid["RAC"]),
            "thickness": (_VOLUME, open_part * height),
            "depth": (_VOLUME[:1], -grid["RC"].reshape(-1), {"units": "m"}),
            "longitude": (x_dims, x, {"units": units}),
            "latitude": (y_dims, y, {"units": units}),
        }
    )


def _positions(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Positions of cell centres and their units; `x` and `y` on a regular grid, else both `y x`.

    MITgcm's files do not distinguish degrees from metres; no basin is so small in metres.
    """
    units = "degrees" if np.abs(y).max() <= 90 and np.abs(x).max() <= 720 else "m"
    if (x == x[:1]).all() and (y == y[:, :1]).all():
        return x[0], y[:, 0], units
    return x, y, units


def _check_steps(
    run: MdsFolder, temperature: dict[int, MdsField], other: dict[int, MdsField]
) -> None:
    only = sorted(set(temperature) ^ set(other))
    if only:
        names = [next(iter(fields.values())).name for fields in (temperature, other)]
        raise UserError(
            f"{run.path} has {names[0]} at {len(temperature)} time steps and {names[1]} at "
            f"{len(other)}, which differ at step {only[0]}: give files of the same steps."
        )


def _lazy(run: MdsFolder, fields: list[MdsField], sizes: dict[Any, int]) -> xr.Variable:
    shape = (sizes["z"], sizes["y"], sizes["x"])[-len(fields[0].shape) :]
    for field in fields:
        if field.shape != shape:
            raise UserError(
                f"{field.name} of {run.path} has {field.shape} cells, the grid {shape}: give "
                "output and grid of one run."
            )
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
            "tracer time step [s] as time_step."
        )
    return step * time_step
