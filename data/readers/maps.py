"""Reads maps of observations on a grid of longitude and latitude, as satellites give them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.geometry import edges
from data.observations import FloatArray
from data.readers.dimensions import is_time
from data.readers.observed import (
    Source,
    bounds_of,
    by_dimensions,
    coordinate,
    observed_variables,
    samples_of,
    spread,
)
from data.readers.samples import Samples

_AREA = re.compile(r"\b(?:area|latitude|longitude|lat|lon)\s*:\s*(mean|point)\b")


def read_maps(source: Source) -> list[Samples]:
    """Samples of the maps on each grid: every cell with a value, levels of a map included.

    Values are means over cells where the file has bounds of cells, or `cell_methods` says mean.

    Raises UserError for several times, for what is no map, and as `data.readers.observed`.
    """
    alone = {
        quantity: _at_one_time(variable, source.path)
        for quantity, variable in observed_variables(source).items()
    }
    maps = []
    for group in by_dimensions(alone):
        first = next(iter(group.values()))
        _check_map(first, source)
        samples = samples_of(group, source, profile=None)
        maps.append(_with_values(_with_extents(samples, first, source)))
    return maps


def _at_one_time(variable: xr.DataArray, path: Path) -> xr.DataArray:
    times = [str(dim) for dim in variable.dims if is_time(variable, str(dim))]
    for dim in times:
        if variable.sizes[dim] != 1:
            raise UserError(
                f"{variable.name} of {path} has {variable.sizes[dim]} times"
                f"{_dates(variable, dim)}: expected one; select it (ncks -d {dim},0), or give a "
                "file for each."
            )
    return variable.isel(dict.fromkeys(times, 0))


def _dates(variable: xr.DataArray, dim: str) -> str:
    """The first and last time in parentheses; empty if they are not known."""
    if dim not in variable.coords or not variable.sizes[dim]:
        return ""
    time = variable.coords[dim]
    ends = time.values[[0, -1]]
    units, calendar = (str(time.attrs.get(key, "")) for key in ("units", "calendar"))
    try:
        dates = netCDF4.num2date(ends, units, calendar or "standard")
        first, last = (date.strftime("%Y-%m-%d") for date in np.ravel(np.asarray(dates)))
    except (ValueError, TypeError, AttributeError):
        first, last = (f"{end:g} {units}".strip() for end in np.asarray(ends, np.float64))
    return f" ({first} to {last})"


def _check_map(variable: xr.DataArray, source: Source) -> None:
    pair = [coordinate(what, variable, source) for what in ("longitude", "latitude")]
    dims = {dim for one in pair if one is not None for dim in one.dims}
    if any(one is None for one in pair) or len(dims) != 2 or not dims <= {*variable.dims}:
        raise UserError(
            f"{variable.name} of {source.path} is on {', '.join(map(str, variable.dims)) or 'none'}"
            ": expected a map on longitude and latitude, or a global attribute featureType (point, "
            "profile or trajectoryProfile); add what is missing."
        )


def _with_extents(samples: Samples, variable: xr.DataArray, source: Source) -> Samples:
    """The samples as means over cells, where they are."""
    method = _AREA.search(str(variable.attrs.get("cell_methods", "")))
    if method and method[1] == "point":
        return samples
    sides = []
    for what in ("longitude", "latitude"):
        axis = coordinate(what, variable, source)
        if axis is None or axis.ndim != 1:
            return samples  # cells of curvilinear grids are no boxes
        ends = _ends(axis, bool(method and method[1] == "mean"), source)
        if ends is None:
            return samples
        scaled = _scale(axis, samples.horizontal_units) * np.stack(ends)
        if what == "latitude" and samples.horizontal_units == "degrees":
            scaled = np.clip(scaled, -90, 90)
        sides += [
            spread(xr.Variable(axis.dims, side), variable)
            for side in (scaled.mean(axis=0), np.abs(scaled[1] - scaled[0]))
        ]
    longitude, width, latitude, height = sides
    return replace(samples, longitude=longitude, latitude=latitude, width=width, height=height)


def _ends(
    axis: xr.DataArray, is_mean: bool, source: Source
) -> tuple[FloatArray, FloatArray] | None:
    """Both ends of each cell along an axis; None for points."""
    degrees = str(axis.attrs.get("units", "degrees")).lower().startswith("degree")
    bounds = bounds_of(axis, source)
    if bounds is not None:
        values = _continuous(bounds.values, degrees)
        return values[:, 0], values[:, 1]
    if not is_mean or axis.size < 2:
        return None
    faces = edges(_continuous(axis.values, degrees))
    return faces[:-1], faces[1:]


def _continuous(values: NDArray[np.floating], degrees: bool) -> FloatArray:
    """Values without jumps by 360 degrees along the last axis."""
    return (
        np.unwrap(values.astype(np.float64), period=360) if degrees else values.astype(np.float64)
    )


def _scale(axis: xr.DataArray, units: str) -> float:
    """What converts an axis of a plane, in m or km, to km."""
    in_metres = str(axis.attrs.get("units", "")).strip().lower() in ("m", "metre", "meter")
    return 1e-3 if units == "km" and in_metres else 1.0


def _with_values(samples: Samples) -> Samples:
    """Only the samples with a value: land is nothing that was left out."""
    known = np.any([np.isfinite(field.value) for field in samples.fields.values()], axis=0)
    names = ("longitude", "latitude", "top", "bottom", "width", "height", "profile")
    columns = {name: getattr(samples, name)[known] for name in names}
    fields = {
        quantity: replace(field, value=field.value[known], error=field.error[known])
        for quantity, field in samples.fields.items()
    }
    return replace(samples, **columns, fields=fields, left_out=0)
