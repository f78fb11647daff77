"""Axes of variables, told by the names of dimensions and never by their position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from data.errors import UserError
from data.readers.lazy import lazy_variable

# How names of dimensions begin: MITgcm's XC and i, NEMO's x_grid_T, POP's nlon, ROMS' xi_rho.
_X_BEGINS = ("x", "i", "lon", "rlon", "nlon", "ni", "nx")
_Y_BEGINS = ("y", "j", "lat", "rlat", "nlat", "nj", "ny", "eta")
_TIMES = {"t", "time", "record", "sample", "month", "year", "ocean_time"}
_TOLERANCE = 1e-6  # relative; constants are stored in single precision


@dataclass(frozen=True)
class Axes:
    """Names of the dimensions of temperature; time is None for a single state without one."""

    time: str | None
    z: str
    y: str
    x: str

    @property
    def order(self) -> tuple[str, ...]:
        """time, z, y, x; without time if there is none."""
        return tuple(dim for dim in (self.time, self.z, self.y, self.x) if dim)


def is_time(variable: xr.DataArray, dim: str) -> bool:
    """Whether a dimension of the variable is time, by its name or by its coordinate."""
    if dim.lower() in _TIMES or dim.lower().startswith("time"):
        return True
    if dim not in variable.coords:
        return False
    attributes = variable.coords[dim].attrs
    return (
        attributes.get("standard_name") == "time"
        or attributes.get("axis") == "T"
        or " since " in str(attributes.get("units"))
    )


def axes_of(
    temperature: xr.DataArray,
    longitude: xr.DataArray,
    latitude: xr.DataArray,
    depth: xr.DataArray,
    path: Path,
) -> Axes:
    """Axes of temperature: one-dimensional coordinates name their own, time is what is left.

    The dimensions of two-dimensional positions are told apart by their customary names, else y
    comes before x. Raises UserError for unstructured grids and for more dimensions than four.
    """
    y, x = _horizontal(temperature, longitude, latitude, path)
    z = str(depth.dims[0])
    others = [str(dim) for dim in temperature.dims if dim not in {z, y, x}]
    times = [dim for dim in others if is_time(temperature, dim)]
    times = times or [dim for dim in others if temperature.sizes[dim] > 1] or others[:1]
    rest = [dim for dim in others if dim not in times and temperature.sizes[dim] > 1]
    if len(times) > 1 or rest or len({z, y, x}) < 3:
        raise UserError(
            f"{temperature.name} of {path} has dimensions {', '.join(map(str, temperature.dims))}: "
            "expected time, depth, y, x; select one state of any other dimension."
        )
    return Axes(times[0] if times else None, z, y, x)


def _horizontal(
    temperature: xr.DataArray, longitude: xr.DataArray, latitude: xr.DataArray, path: Path
) -> tuple[str, str]:
    """Names of the y and x dimensions."""
    x_dims, y_dims = (
        [str(dim) for dim in temperature.dims if dim in v.dims and not is_time(v, str(dim))]
        for v in (longitude, latitude)
    )
    if len(x_dims) == len(y_dims) == 1 and x_dims != y_dims:
        return y_dims[0], x_dims[0]
    if len(x_dims) == 2 and x_dims == y_dims:
        first, second = x_dims
        turned = _looks_like(temperature, first, "X", _X_BEGINS)
        turned &= _looks_like(temperature, second, "Y", _Y_BEGINS)
        return (second, first) if turned else (first, second)
    raise UserError(
        f"{longitude.name} of {path} has dimensions {', '.join(x_dims)}, {latitude.name} "
        f"{', '.join(y_dims)}: expected x and y, or both on y and x; unstructured grids are not "
        "supported; correct data.ingest.variables.longitude or data.ingest.variables.latitude."
    )


def _looks_like(variable: xr.DataArray, dim: str, axis: str, begins: tuple[str, ...]) -> bool:
    stated = variable.coords[dim].attrs.get("axis") if dim in variable.coords else None
    return stated == axis if stated else dim.lower().startswith(begins)


def on_axes(
    variable: xr.DataArray, axes: Axes, path: Path, *, keep_time: bool = False
) -> xr.DataArray:
    """The variable in the order of `axes`; other dimensions, of size 1, are dropped.

    Without `keep_time` a variable that is repeated over time, as xarray's concat leaves it, is the
    constant that it is. Raises UserError if it changes.
    """
    variable = variable.isel({dim: 0 for dim in variable.dims if dim not in axes.order})
    if not keep_time and axes.time in variable.dims:
        variable = constant(variable, str(axes.time), path)
    return _in_order(variable, [dim for dim in axes.order if dim in variable.dims])


def constant(variable: xr.DataArray, dim: str, path: Path) -> xr.DataArray:
    """The first record along `dim`. Raises UserError if another differs."""
    first = variable.isel({dim: 0})
    for record in range(1, variable.sizes[dim]):
        if not same_values(variable.isel({dim: record}).variable, first.variable):
            raise UserError(
                f"{variable.name} of {path} changes along {dim} (record {record}): expected the "
                "same in all states, as of a fixed grid; correct the file or name another variable."
            )
    return first


def same_values(one: xr.Variable, other: xr.Variable) -> bool:
    """Whether two variables hold the same values, up to single precision."""
    if one.dims != other.dims or one.shape != other.shape:
        return False
    if one.dtype.kind == other.dtype.kind == "f":
        return np.allclose(one.values, other.values, rtol=_TOLERANCE, atol=0, equal_nan=True)
    return np.array_equal(one.values, other.values)


def _in_order(variable: xr.DataArray, order: Sequence[str]) -> xr.DataArray:
    """Transposed, record by record when it is read."""
    if tuple(order) == variable.dims:
        return variable
    first, *rest = order
    lazy = lazy_variable(
        tuple(order),
        lambda records: (
            variable.isel({first: slice(records.start, records.stop, records.step)})
            .load()
            .transpose(first, *rest)
            .values
        ),
        shape=tuple(variable.sizes[dim] for dim in order),
        dtype=variable.dtype,
        attributes=dict(variable.attrs),
    )
    return xr.DataArray(lazy, name=variable.name)
