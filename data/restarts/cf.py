"""Write a state as a CF NetCDF file, which the tools of any model can read and regrid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.archive.format import grid_variables
from data.atomic import atomic_write
from data.dataset import state_attributes
from data.grid import OceanGrid
from data.restarts.initial_condition import (
    FLOAT_BYTES,
    InitialCondition,
    Precision,
    Written,
    netcdf_errors,
    reads_differently,
)

FILL_VALUE = 1e20  # CMOR's
_VOLUME = ("depth", "y", "x")


@dataclass(frozen=True)
class CfFile:
    """Writes one CF NetCDF file."""

    precision: Precision = "double"

    def files(self, path: Path) -> tuple[Path, ...]:
        """One file."""
        return (path,)

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Write the state, read it back and compare.

        Dimensions are depth, y, x, the surface first; land is `_FillValue`. Raises UserError as
        `InitialConditionWriter.write` does.
        """
        kind = np.dtype(f"f{FLOAT_BYTES[self.precision]}")
        fields = {name: v.astype(kind) for name, v in initial.fields(land=np.nan).items()}
        metadata = state_attributes(initial.equation_of_state)
        dataset = _dataset(fields, initial.grid, metadata).assign_attrs(
            Conventions="CF-1.11",
            title="initial condition of the ocean",
            equation_of_state=initial.equation_of_state,
            creation_date=datetime.now(UTC).isoformat(timespec="seconds"),
            **initial.attributes,
        )
        with netcdf_errors(path), atomic_write(path) as partial:
            dataset.to_netcdf(partial, engine="netcdf4", encoding=_encoding(dataset, fields))
            _check_written(partial, fields)
        return Written((path,))


def _dataset(
    fields: Mapping[str, NDArray[np.floating]],
    grid: OceanGrid,
    metadata: Mapping[str, dict[str, Any]],
) -> xr.Dataset:
    described = grid_variables(grid)
    coordinates = {name for name in described if name not in {"wet", "cell_area", "thickness"}}
    dataset = xr.Dataset(
        {
            name: (_VOLUME if values.ndim == 3 else _VOLUME[1:], values, metadata[name])
            for name, values in fields.items()
        }
    )
    dataset = dataset.assign(described).set_coords(coordinates)
    dataset["depth"].attrs |= {"bounds": "depth_bnds"}
    return dataset.assign(depth_bnds=(("depth", "bnds"), _depth_bounds(grid)))


def _depth_bounds(grid: OceanGrid) -> NDArray[np.float64]:
    """Upper and lower face of each level `z 2` [m]."""
    return np.stack([grid.faces[:-1], grid.faces[1:]], axis=1)


def _encoding(
    dataset: xr.Dataset, fields: Mapping[str, NDArray[np.floating]]
) -> dict[str, dict[str, Any]]:
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"_FillValue": None} for name in dataset.variables
    }
    for name, values in fields.items():
        encoding[name] = {"_FillValue": values.dtype.type(FILL_VALUE), "zlib": True, "complevel": 1}
    return encoding


def _check_written(path: Path, fields: Mapping[str, NDArray[np.floating]]) -> None:
    with xr.open_dataset(path, engine="netcdf4") as written:
        for name, values in fields.items():
            if not np.array_equal(written[name].values, values, equal_nan=True):
                raise reads_differently(path, name)
