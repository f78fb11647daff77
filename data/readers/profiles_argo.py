"""Reads core files of Argo floats: profiles of temperature, salinity and pressure with flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.checks import require
from data.errors import UserError
from data.kinds import IN_SITU, PRACTICAL
from data.observations import FloatArray, Quantity
from data.readers.samples import Field, Samples

# Argo's user manual: good and probably good values; of positions, interpolated ones, too.
_GOOD, _GOOD_POSITION = ("1", "2"), ("1", "2", "8")
_ADJUSTED = ("A", "D")  # data modes: adjusted in real time, and delayed
_NEEDED = ("PRES", "PRES_QC", "LONGITUDE", "LATITUDE", "DATA_MODE")
_FIELDS: tuple[tuple[Quantity, str, str], ...] = (
    ("temperature", "TEMP", IN_SITU),
    ("salinity", "PSAL", PRACTICAL),
)


def is_argo(dataset: xr.Dataset) -> bool:
    """Whether the dimensions are those of Argo's files of profiles."""
    return {"N_PROF", "N_LEVELS"} <= {*map(str, dataset.dims)}


def read_argo(dataset: xr.Dataset, path: Path) -> list[Samples]:
    """The good samples of all profiles, with pressure [dbar].

    Adjusted values are read where the data mode is A or D. Profiles without a good position, and
    values whose own flag or that of their pressure is not 1 or 2, are left out.

    Raises UserError if a variable of a core file is missing.
    """
    expected = "a core file of Argo with temperature or salinity"
    require(_NEEDED, dataset.variables, path=path, expected=expected)
    adjusted = np.isin(_texts(dataset["DATA_MODE"]), _ADJUSTED)
    pressure, _ = _read(dataset, "PRES", adjusted, path)
    longitude, latitude = (_of_profiles(dataset, name) for name in ("LONGITUDE", "LATITUDE"))
    there = np.isfinite(longitude) & np.isfinite(latitude)
    if "POSITION_QC" in dataset.variables:
        there &= np.isin(_texts(dataset["POSITION_QC"]), _GOOD_POSITION)
    usable = np.isfinite(pressure) & there[:, None]
    fields: dict[Quantity, Field] = {}
    left_out = 0
    for quantity, name, kind in _FIELDS:
        if name in dataset.variables:
            value, error = _read(dataset, name, adjusted, path)
            value = np.where(usable, value, np.nan)
            left_out += max(0, _measured(dataset, name) - int(np.isfinite(value).sum()))
            fields[quantity] = Field(name, value.ravel(), error.ravel(), kind)
    if not fields:
        require(("TEMP",), dataset.variables, path=path, expected=expected)
    shape = pressure.shape
    zeros = np.zeros(pressure.size)
    return [
        Samples(
            longitude=np.repeat(longitude, shape[1]),
            latitude=np.repeat(latitude, shape[1]),
            top=pressure.ravel(),
            bottom=pressure.ravel(),
            width=zeros,
            height=zeros,
            profile=np.repeat(np.arange(shape[0]), shape[1]),
            fields=fields,
            pressure=True,
            left_out=left_out,
        )
    ]


def _read(
    dataset: xr.Dataset, name: str, adjusted: NDArray[np.bool_], path: Path
) -> tuple[FloatArray, FloatArray]:
    """Good values and errors `N_PROF N_LEVELS` of a parameter, NaN elsewhere."""
    require((f"{name}_QC",), dataset.variables, path=path, expected="the flags of its values")
    value = _good(dataset, name, path)
    error = np.full_like(value, np.nan)
    if not adjusted.any():
        return value, error
    better = f"{name}_ADJUSTED"
    require((better, f"{better}_QC"), dataset.variables, path=path, expected="adjusted values")
    value = np.where(adjusted[:, None], _good(dataset, better, path), value)
    if f"{better}_ERROR" in dataset.variables:
        stated = _values(dataset, f"{better}_ERROR")
        # Adjusted in real time, some centres write 0 for an error that they do not know.
        error = np.where(adjusted[:, None] & (stated > 0), stated, np.nan)
    return value, error


def _measured(dataset: xr.Dataset, name: str) -> int:
    return int(np.isfinite(_values(dataset, name)).sum())


def _good(dataset: xr.Dataset, name: str, path: Path) -> FloatArray:
    flags = _texts(dataset[f"{name}_QC"])
    values = _values(dataset, name)
    if flags.shape != values.shape:
        raise UserError(
            f"{name}_QC of {path} has shape {flags.shape}, {name} {values.shape}: expected "
            "a flag for each value; check the file."
        )
    return np.where(np.isin(flags, _GOOD), values, np.nan)


def _values(dataset: xr.Dataset, name: str) -> FloatArray:
    ordered = dataset[name].transpose("N_PROF", "N_LEVELS")
    return np.asarray(ordered.values, dtype=np.float64)


def _of_profiles(dataset: xr.Dataset, name: str) -> FloatArray:
    return np.asarray(dataset[name].values, dtype=np.float64)


def _texts(variable: xr.DataArray) -> NDArray[np.str_]:
    """Characters of a variable as text, empty where missing."""

    def text(cell: Any) -> str:
        return (cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)).strip()

    values = np.asarray(variable.values)
    texts = [text(cell) for cell in values.ravel().tolist()]
    return np.array(texts, dtype=np.str_).reshape(values.shape)
