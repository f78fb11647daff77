"""Reads CF output of ocean models (NetCDF or zarr), one file at a time, sample by sample.

Signs, units and masks are settled here. An ambiguous file is refused with a sentence that names the
setting that decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.archive.format import FIELD_DIMENSIONS
from data.errors import UserError
from data.geometry import cell_area, layer_thickness
from data.grid import OceanGrid
from data.kinds import check_kind, of_right_kind
from data.plausibility import check_grid
from data.readers.base import Conventions, ModelOutput, Reader, Variables
from data.readers.conversion import (
    celsius_offset,
    field_factor,
    horizontal_positions,
)
from data.readers.gaps import with_positions
from data.readers.land import check_mask, wet_by_values
from data.readers.levels import metres_of_depth, refuse_other_levels
from data.readers.raw import decoded
from data.readers.repeats import check_repeats
from data.units import AREAS, LENGTHS, factor

_DAYS_PER_YEAR = {"360_day": 360.0, "365_day": 365.0, "noleap": 365.0, "366_day": 366.0}
_DAYS_PER_UNIT = {
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), 1 / 86400),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 1 / 1440),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), 1 / 24),
    **dict.fromkeys(("day", "days", "d"), 1.0),
}
_YEARS_PER_UNIT = {
    **dict.fromkeys(("month", "months", "mon"), 1 / 12),
    **dict.fromkeys(("year", "years", "yr", "yrs", "a"), 1.0),
}
# Standard names first, then the names that models use.
_KNOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "temperature": (
        ("sea_water_potential_temperature", "sea_water_conservative_temperature"),
        ("thetao", "bigthetao", "votemper", "toce", "THETA", "theta", "temp"),
    ),
    "salinity": (
        ("sea_water_salinity", "sea_water_practical_salinity", "sea_water_absolute_salinity"),
        ("so", "vosaline", "soce", "SALT", "salt"),
    ),
    "sea_level": (
        ("sea_surface_height_above_geoid", "sea_surface_height_above_sea_level"),
        ("zos", "ssh", "sossheig", "ETAN"),
    ),
    "depth": (("depth",), ("depth", "deptht", "olevel", "lev", "nav_lev", "z", "Z")),
    "longitude": (
        ("longitude", "projection_x_coordinate"),
        ("nav_lon", "lon", "longitude", "x", "XC"),
    ),
    "latitude": (
        ("latitude", "projection_y_coordinate"),
        ("nav_lat", "lat", "latitude", "y", "YC"),
    ),
    "mask": (("sea_binary_mask",), ("mask", "tmask", "wet")),
    "area": (("cell_area",), ("area", "cell_area", "areacello")),
    "thickness": (("cell_thickness",), ("thickness", "thkcello", "e3t", "e3t_0", "dz")),
}
_REQUIRED = ("temperature", "salinity", "depth", "longitude", "latitude")


class CfReader(Reader):
    """CF files of any model: NetCDF or zarr.

    Variables are found by the names in `variables`, else by standard name, else by customary name.
    The wet mask is the file's mask variable, else where the first temperature is a number.
    """

    name: Literal["cf"] = "cf"

    def open(self, *paths: Path) -> ModelOutput:
        """Open one file or zarr store.

        Raises UserError for a file that cannot be read, lacks a variable (the message lists those
        found), or is ambiguous about units, signs or land.
        """
        (path,) = paths
        return from_dataset(open_dataset(path), path=path, conventions=self)


def open_dataset(path: Path) -> xr.Dataset:
    """Open lazily, times undecoded. Raises UserError if `path` is missing or unreadable."""
    try:
        if path.is_dir():
            return decoded(xr.open_zarr(path, decode_cf=False, chunks=None), zarr=True)
        return decoded(xr.open_dataset(path, decode_cf=False), zarr=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} cannot be read ({reason}): expected NetCDF or zarr; check the path and the "
            "file."
        ) from error


def from_dataset(dataset: xr.Dataset, *, path: Path, conventions: Conventions) -> ModelOutput:
    """As `CfReader.open`, for an opened dataset."""
    names = conventions.variables
    refuse_other_levels(dataset, path)
    suitable = of_right_kind(dataset, conventions.equation, named=names.model_dump().values())
    found = _find_all(suitable, path, names)
    _check_kinds(found, path, conventions)
    metres = metres_of_depth(found["depth"], dataset, path)
    depth, order = _depth(found["depth"], path, conventions)
    level_dim = str(found["depth"].dims[0])
    temperature = _four_dimensional(found["temperature"], level_dim, path)
    salinity = _four_dimensional(found["salinity"], level_dim, path)
    wet = _wet_mask(found, temperature, salinity, path)
    offset = celsius_offset(temperature, wet, path, conventions.temperature_units)
    grid = _grid(dataset, found, metres * depth, order, wet[order], path, conventions)
    check_grid(grid, source=path)
    check_repeats(temperature, salinity, grid, order, path)
    sea_level = found.get("sea_level")
    if sea_level is not None and sea_level.ndim == 2:
        sea_level = sea_level.expand_dims("time")
    return ModelOutput(
        path=path,
        grid=grid,
        years=_years(dataset, temperature, path, conventions),
        temperature=temperature,
        salinity=salinity,
        sea_level=sea_level,
        dataset=dataset,
        order=order,
        offset=offset,
        salinity_factor=field_factor("salinity", salinity, path),
        sea_level_factor=1.0 if sea_level is None else field_factor("sea level", sea_level, path),
        dry=None if "mask" in found else ~grid.wet,
    )


def _check_kinds(found: dict[str, xr.DataArray], path: Path, conventions: Conventions) -> None:
    if conventions.equation is not None:
        for name in ("temperature", "salinity"):
            field = found[name]
            check_kind(name, field.name, field.attrs, equation=conventions.equation, path=path)


def _find_all(dataset: xr.Dataset, path: Path, names: Variables) -> dict[str, xr.DataArray]:
    found = {}
    for quantity, (standard, customary) in _KNOWN.items():
        name = _find(dataset, path, quantity, getattr(names, quantity))
        if name is not None:
            found[quantity] = dataset[name]
        elif quantity in _REQUIRED:
            raise UserError(
                f"{path} has no {quantity}: expected standard_name {standard[0]} or a variable "
                f"{customary[0]}, found {', '.join(map(str, dataset.variables))}; name it in the "
                f"settings as variables.{quantity}."
            )
    return found


def _find(dataset: xr.Dataset, path: Path, quantity: str, name: str | None) -> str | None:
    if name is not None:
        if name not in dataset.variables:
            raise UserError(
                f"{path} has no variable {name} for {quantity}: found "
                f"{', '.join(map(str, dataset.variables))}; correct variables.{quantity}."
            )
        return name
    standard, customary = _KNOWN[quantity]
    variables = {str(key): value for key, value in dataset.variables.items()}
    matches = [k for k, v in variables.items() if v.attrs.get("standard_name") in standard]
    return next(iter([*matches, *(k for k in customary if k in variables)]), None)


def _depth(
    variable: xr.DataArray, path: Path, conventions: Conventions
) -> tuple[NDArray[np.float64], slice]:
    """Depth of cell centres, positive down and surface first, and the slice that orders it."""
    values = np.asarray(variable.squeeze().values, dtype=np.float64)
    if values.ndim != 1:
        raise UserError(f"depth of {path} has shape {values.shape}: expected one value a level.")
    if conventions.depth_positive == "up":
        values = -values
    elif variable.attrs.get("positive", "down") == "up" or (values < 0).any():
        raise UserError(
            f"depth of {path} is positive upward ({values[0]:g} to {values[-1]:g} m): expected "
            "positive down; set depth_positive: up to change the sign."
        )
    # A monotonic order is unambiguous: the surface goes first.
    order = slice(None, None, -1) if values[0] > values[-1] else slice(None)
    values = values[order]
    if (values < 0).any() or not (np.diff(values) > 0).all():
        raise UserError(
            f"depth of {path} ({values[0]:g} to {values[-1]:g} m) is not positive down and "
            "steadily increasing: check the depth variable and depth_positive."
        )
    return values, order


def _four_dimensional(field: xr.DataArray, level_dim: str, path: Path) -> xr.DataArray:
    """`field` as time, z, y, x; a single state gets a time axis."""
    if level_dim not in field.dims:
        raise UserError(
            f"{field.name} of {path} has dimensions {', '.join(map(str, field.dims))}: expected "
            f"the depth dimension {level_dim} among them; correct variables.depth."
        )
    if field.ndim == 3:
        field = field.expand_dims("time")
    if field.ndim != 4 or field.dims[1] != level_dim:
        raise UserError(
            f"{field.name} of {path} has dimensions {', '.join(map(str, field.dims))}: expected "
            "time, depth, y, x in this order."
        )
    return field


def _wet_mask(
    found: dict[str, xr.DataArray], temperature: xr.DataArray, salinity: xr.DataArray, path: Path
) -> NDArray[np.bool_]:
    """`z y x` in the file's order of levels."""
    first = temperature[0].values, salinity[0].values
    if "mask" not in found:
        return wet_by_values(*first, path)
    wet = np.asarray(found["mask"].squeeze().values) > 0.5
    if wet.shape != temperature.shape[1:]:
        raise UserError(
            f"mask of {path} has shape {wet.shape}: expected {temperature.shape[1:]} (z, y, x)."
        )
    check_mask(wet, *first, name=str(found["mask"].name), path=path)
    return wet


def _grid(
    dataset: xr.Dataset,
    found: dict[str, xr.DataArray],
    depth: NDArray[np.float64],
    order: slice,
    wet: NDArray[np.bool_],
    path: Path,
    conventions: Conventions,
) -> OceanGrid:
    pair = found["longitude"], found["latitude"]
    longitude, latitude, units = horizontal_positions(*pair, dataset, path)
    if longitude.ndim == 2 and units == "degrees":
        land = np.logical_not(np.any(wet, axis=0))
        longitude, latitude = with_positions(longitude, latitude, land)
    if "area" in found:
        square_metres = factor(
            found["area"].attrs, AREAS, quantity="cell area", path=path, expected="m2"
        )
        area = np.asarray(found["area"].squeeze().values, dtype=np.float64)
        area = square_metres * np.nan_to_num(area, nan=0.0)
    else:
        area = cell_area(longitude, latitude, units=units)
    if "thickness" in found:
        thickness = _thickness(found["thickness"], path)[order]
    else:
        thickness = layer_thickness(depth, bounds=_bounds(dataset, found["depth"], order, path))
    if thickness.ndim == 1:
        thickness = thickness[:, None, None]
    return OceanGrid(
        depth=depth,
        thickness=np.where(wet, thickness, 0.0),
        area=np.broadcast_to(area, wet.shape[1:]).copy(),
        wet=wet,
        longitude=longitude,
        latitude=latitude,
        periodic_x=conventions.periodic_x,
        horizontal_units=units,
    )


def _thickness(variable: xr.DataArray, path: Path) -> NDArray[np.float64]:
    """`z y x` or `z` [m]; the mean over time where layers move with the surface (NEMO's vvl)."""
    metres = factor(variable.attrs, LENGTHS, quantity="thickness", path=path, expected="m")
    if variable.ndim == len(FIELD_DIMENSIONS):
        variable = variable.mean(str(variable.dims[0]))
    return metres * np.asarray(variable.squeeze().values, dtype=np.float64)


def _bounds(
    dataset: xr.Dataset, depth: xr.DataArray, order: slice, path: Path
) -> NDArray[np.float64] | None:
    """Upper and lower face of each level [m], `z 2`; bounds have the units of their depths."""
    name = depth.attrs.get("bounds")
    if name is None or name not in dataset.variables:
        return None
    units = {**depth.attrs, **dataset[name].attrs}
    metres = factor(units, LENGTHS, quantity=f"{name}", path=path, expected="m")
    return metres * np.asarray(dataset[name].values, dtype=np.float64)[order]


def _years(
    dataset: xr.Dataset, temperature: xr.DataArray, path: Path, conventions: Conventions
) -> NDArray[np.float64]:
    """Model time of each sample [years]; sample numbers if the file has no time."""
    name = str(temperature.dims[0])
    if name not in dataset.variables:
        return np.arange(temperature.sizes[name], dtype=np.float64)
    attributes = dataset[name].attrs
    units = str(attributes.get("units", "days"))
    unit = units.lower().split(" since ")[0].strip()
    values = np.asarray(dataset[name].values, dtype=np.float64).reshape(
        -1
    )  # 0-d for a single state
    if unit in _YEARS_PER_UNIT:
        return values * _YEARS_PER_UNIT[unit]
    if unit not in _DAYS_PER_UNIT:
        raise UserError(
            f'{name} of {path} has the units "{units}": expected seconds, minutes, hours, days, '
            "months or years since a date; correct the attribute."
        )
    calendar = attributes.get("calendar", conventions.calendar)
    year = _DAYS_PER_YEAR.get(str(calendar), 365.25)
    return values * _DAYS_PER_UNIT[unit] / year
