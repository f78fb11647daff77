"""Refuses vertical coordinates that are not depths, by name."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.units import LENGTHS, factor

# Names, standard names and units (lower case) of coordinates that are something else.
_TERRAIN = re.compile(
    r"ocean_(double_)?s(igma)?(_z)?_coordinate|atmosphere_.*sigma|^s_(rho|w|r|level)$"
    r"|^(sig|sigma|siglay|siglev|sc_r|cs_r|s)$|^sigma_?(level|layer|coordinate)s?$"
)
_DENSITY = re.compile(
    r"(sea_water|ocean)_.*(density|sigma)|isopycn|^rho(_?pot|\d)?(_[il])?$|^sigma_?\d+(_[il])?$"
)
_DENSITY_UNITS = re.compile(r"^kg ?(m|/|\.m)")
_PRESSURE = re.compile(r"pressure|^(d|c)?bars?$|^(k|h)?pa$|decibar|pascal")
_NUMBER = re.compile(r"model_level_number|^(model )?(level|layer)s?( number)?$")
_TERRAIN_FOLLOWING = "terrain-following (sigma)"
_ISOPYCNAL = "isopycnal (density)"
_NO_UNITS = {"", "1", "count", "none", "level", "levels", "layer", "layers"}
_SAME_DEPTH = 0.1  # relative; levels breathe with the surface, ice shelves cut the highest cells
_OTHER_CELLS = 0.05  # share of cells
# Variables that could be meant instead.
_POSITIONS = (
    *("nav_lon", "nav_lat", "glamt", "gphit", "geolon", "geolat", "TLONG", "TLAT", "lon_rho"),
    *("lat_rho", "xh", "yh", "XC", "YC", "lon", "lat", "longitude", "latitude"),
)
_DEPTHS = ("gdept_1d", "deptht", "depth", "z_l", "z_t", "st_ocean", "zt", "RC", "Z", "nav_lev")


def refuse_other_levels(dataset: xr.Dataset, path: Path) -> None:
    """Raise UserError if a field lies on levels that are not depths by their own description."""
    fields = [set(v.dims) for v in dataset.variables.values() if v.ndim > 2]
    for name in {dim: None for dims in fields for dim in dims}:
        kind = _kind(name, dataset.variables.get(name, xr.Variable((), 0)))
        if kind in (_TERRAIN_FOLLOWING, _ISOPYCNAL):
            raise _refused(str(name), kind, path)
    for name, variable in dataset.variables.items():
        described = {"formula_terms", "standard_name"} & set(variable.attrs)
        on_field = any(set(variable.dims) <= dims for dims in fields)
        if described and on_field and _kind("", variable) == _TERRAIN_FOLLOWING:
            raise _refused(str(name), _TERRAIN_FOLLOWING, path)


def refuse_other_mesh(mesh: xr.Dataset, wet: NDArray[np.bool_], path: Path) -> None:
    """Raise UserError if a NEMO mesh mask has terrain-following levels.

    wet: `z y x`. By `ln_sco`, or by depths of cells that differ from those of their level where
    partial cells cannot be the reason: above the lowest cell of a column.
    """
    stated = mesh.attrs.get("ln_sco", mesh.variables.get("ln_sco", 0))
    if float(np.max(stated)) > 0:
        raise _refused("ln_sco = 1", _TERRAIN_FOLLOWING, path)
    if "gdept_0" not in mesh.variables or "gdept_1d" not in mesh.variables:
        return
    cells, levels = (mesh[name].values.squeeze() for name in ("gdept_0", "gdept_1d"))
    if cells.shape != wet.shape or levels.shape != wet.shape[:1]:
        return
    inner = wet[:-1] & wet[1:]
    apart = np.abs(cells / levels[:, None, None] - 1)[:-1][inner]
    if apart.size and np.mean(apart > _SAME_DEPTH) > _OTHER_CELLS:
        raise _refused("gdept_0", _TERRAIN_FOLLOWING, path)


def metres_of_depth(variable: xr.DataArray, dataset: xr.Dataset, path: Path) -> float:
    """What converts the depth variable to m.

    Raises UserError for another coordinate (terrain-following, isopycnal, pressure), for numbers of
    levels and for unknown units.
    """
    kind = _kind(variable.name, variable.variable)
    if kind is not None:
        raise _refused(str(variable.name), kind, path)
    values = np.asarray(variable.values, dtype=np.float64).ravel()
    units = str(variable.attrs.get("units", "")).strip()
    if counts_cells(values) and units in _NO_UNITS:
        raise UserError(
            f"{variable.name} of {path} numbers the levels ({values[0]:g}, {values[1]:g} to "
            f"{values[-1]:g}, without units): expected depths in m; "
            f"{_others(dataset, _DEPTHS, variable.name, 'data.ingest.variables.depth')}."
        )
    metres = factor(variable.attrs, LENGTHS, quantity="depth", path=path, expected="m")
    if values.size > 1 and metres * np.abs(values).max() <= 1:
        raise UserError(
            f"{variable.name} of {path} runs from {values[0]:g} to {values[-1]:g}, as a "
            "terrain-following (sigma) coordinate does: expected depths in m; interpolate the "
            "states to depths first."
        )
    return metres


def counts_cells(values: NDArray[np.float64]) -> bool:
    """Whether the values are 0, 1, 2 ... or 1, 2, 3 ... (or 0.5, 1.5 ...), in either direction."""
    steps = np.diff(np.sort(np.abs(values)))
    return values.size > 1 and bool((steps == 1).all()) and float(np.abs(values).min()) <= 1


def refuse_cell_numbers(
    longitude: xr.DataArray, latitude: xr.DataArray, dataset: xr.Dataset, path: Path
) -> None:
    """Raise UserError if the positions are only numbers of columns and rows."""
    numbered = [v for v in (longitude, latitude) if _numbers_cells(v)]
    generic = [v for v in numbered if not re.search("lon|lat", str(v.name).lower())]
    if len(numbered) == 2 or generic:
        names = " and ".join(str(variable.name) for variable in generic or numbered)
        one = f"{longitude.name} and {latitude.name}"
        raise UserError(
            f"{names} of {path} number the cells (in steps of 1, without units): expected "
            f"longitude and latitude in degrees, or x and y with their units; "
            f"{_others(dataset, _POSITIONS, one, 'variables.longitude and variables.latitude')}."
        )


def _numbers_cells(variable: xr.DataArray) -> bool:
    if str(variable.attrs.get("units", "")).strip() not in _NO_UNITS:
        return False
    values = np.asarray(variable.squeeze().values, dtype=np.float64)
    if values.ndim == 2:
        lines = values if (values == values[:1]).all() else values.T
        if not (lines == lines[:1]).all():
            return False
        values = lines[0]
    return values.ndim == 1 and counts_cells(values)


def _kind(name: Hashable, variable: xr.Variable) -> str | None:
    """What the coordinate is, if it says that it is not depth."""
    attributes = variable.attrs
    units = str(attributes.get("units", "")).lower()
    standard = str(attributes.get("standard_name", "")).lower()
    texts = [str(name).lower(), standard, units, str(attributes.get("long_name", "")).lower()]
    if "formula_terms" in attributes or any(map(_TERRAIN.search, texts)):
        return _TERRAIN_FOLLOWING
    if any(map(_DENSITY.search, texts)) or _DENSITY_UNITS.search(units):
        return _ISOPYCNAL
    if _PRESSURE.search(units) or _PRESSURE.search(standard):
        return "a pressure"
    return "a number of levels" if _NUMBER.search(standard) else None


def _refused(name: str, kind: str, path: Path) -> UserError:
    return UserError(
        f"the vertical coordinate of {path} is {kind}, not depth ({name}): expected the depth of "
        "levels in m; interpolate the states to depths first."
    )


def _others(dataset: xr.Dataset, known: tuple[str, ...], taken: object, setting: str) -> str:
    there = [name for name in known if name in dataset.variables and name not in str(taken).split()]
    if there:
        return f"the file has {', '.join(there)}; name the right one as {setting}"
    return f"name a variable that has them as {setting}, or correct the file"
