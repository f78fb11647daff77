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

from data.atomic import atomic_write
from data.dataset import described
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
# Of the grid, but no coordinates: tools that regrid take coordinates for places.
_MEASURES = ("cell_area", "thickness", "wet", "depth_bnds")


@dataclass(frozen=True)
class CfFile:
    """Writes one CF NetCDF file."""

    precision: Precision = "double"

    def files(self, path: Path) -> tuple[Path, ...]:
        """One file."""
        return (path,)

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Write the state, read it back and compare.

        Dimensions, names and units are those of `data.dataset`, without a time; the surface is
        first, land is `_FillValue`. Raises UserError as `InitialConditionWriter.write` does.
        """
        kind = np.dtype(f"f{FLOAT_BYTES[self.precision]}")
        fields = {name: v.astype(kind) for name, v in initial.fields(land=np.nan).items()}
        dataset = _dataset(fields, initial)
        with netcdf_errors(path), atomic_write(path) as partial:
            dataset.to_netcdf(partial, engine="netcdf4", encoding=_encoding(dataset, fields))
            _check_written(partial, fields)
        return Written((path,))


def _dataset(fields: Mapping[str, NDArray[np.floating]], initial: InitialCondition) -> xr.Dataset:
    raw = xr.Dataset(
        {
            name: (_VOLUME if values.ndim == 3 else _VOLUME[1:], values)
            for name, values in fields.items()
        }
    )
    dataset = described(
        raw,
        grid=initial.grid,
        equation_of_state=initial.equation_of_state,
        attributes={
            "title": "initial condition of the ocean",
            "creation_date": datetime.now(UTC).isoformat(timespec="seconds"),
            **initial.attributes,
        },
    )
    return dataset.reset_coords(_MEASURES)


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
