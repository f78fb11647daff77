"""Converts what a file states in other units, or refuses it in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.readers.levels import refuse_cell_numbers
from data.units import KELVIN_ABOVE, LENGTHS, SALINITIES, ZERO_CELSIUS, factor, is_kelvin

_WARMEST_KELVIN = 400.0
_EXPECTED = {"salinity": "1e-3, g/kg or kg/kg", "sea level": "m or cm"}
_KNOWN = {"salinity": SALINITIES, "sea level": LENGTHS}


def celsius_offset(
    temperature: xr.DataArray, wet: NDArray[np.bool_], path: Path, setting: str
) -> float:
    """What converts temperature to degC [K], by its units or by the setting.

    Raises UserError for units that are neither, or that the values contradict.
    """
    units = str(temperature.attrs.get("units", "")).strip()
    stated = is_kelvin(units) if units else False
    if stated is None:
        raise UserError(
            f'temperature of {path} is in "{units}": expected degC or K; convert the file.'
        )
    values = temperature[0].values[wet]
    median = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
    found = f'units "{units}", median {median:.1f}'
    if (stated or setting == "K") and abs(median) < KELVIN_ABOVE:
        remedy = "correct the units" if stated else "remove data.ingest.temperature_units: K"
        raise UserError(f"temperature of {path} is in degC ({found}), not in kelvin: {remedy}.")
    if stated or setting == "K":
        return -ZERO_CELSIUS
    if KELVIN_ABOVE < median < _WARMEST_KELVIN:
        raise UserError(
            f"temperature of {path} is in kelvin ({found}): expected degC; set "
            "data.ingest.temperature_units: K to convert it."
        )
    return 0.0


def field_factor(quantity: str, field: xr.DataArray, path: Path) -> float:
    """What converts salinity to 1e-3 or g/kg, or sea level to m. Raises UserError as `factor`."""
    return factor(
        field.attrs, _KNOWN[quantity], quantity=quantity, path=path, expected=_EXPECTED[quantity]
    )


def horizontal_positions(
    longitude: xr.DataArray, latitude: xr.DataArray, dataset: xr.Dataset, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Longitude and latitude [degrees], or x and y [km], and the unit.

    Raises UserError for numbers of cells, for units that are unknown or differ in kind, and for
    latitudes beyond the poles.
    """
    refuse_cell_numbers(longitude, latitude, dataset, path)
    pair = longitude, latitude
    scaled, kinds = [], []
    for variable in pair:
        scale, kind = _scale(variable, path)
        scaled.append(scale * _map(variable))
        kinds.append(kind)
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{longitude.name} of {path} is in {kinds[0]}, {latitude.name} in {kinds[1]}: expected "
            "both in degrees, or both in m or km; correct their units."
        )
    return scaled[0], scaled[1], kinds[0]


def _map(variable: xr.DataArray) -> NDArray[np.float64]:
    """The values, `y x` or of one axis, without a time axis of length 1 that some files give."""
    values = np.asarray(variable.values, dtype=np.float64)
    return values.reshape(values.shape[-2:])


def _scale(variable: xr.DataArray, path: Path) -> tuple[float, str]:
    """What converts a horizontal coordinate to degrees or km, and which of the two."""
    units = str(variable.attrs.get("units", "")).strip().lower()
    if units.startswith("radian") or units == "rad":
        return float(np.rad2deg(1.0)), "degrees"
    if not units or units == "1" or units.startswith(("deg", "°")):
        return 1.0, "degrees"
    expected = "degrees, radians, m or km"
    metres = factor(
        variable.attrs, LENGTHS, quantity=str(variable.name), path=path, expected=expected
    )
    return 1e-3 * metres, "km"
