"""Finds observed quantities, their places, errors and flags in CF files of observations."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.kinds import POTENTIAL, PRACTICAL, stated_kind, taken_kinds
from data.observations import QUANTITIES, FloatArray, Quantity
from data.readers.conversion import field_factor, horizontal_positions
from data.readers.quantities import QUANTITIES as NAMES
from data.readers.samples import Field, Samples
from data.readers.variables import EASTWARD, NORTHWARD
from data.units import LENGTHS, PRESSURES, ZERO_CELSIUS, factor, is_kelvin, is_practical

_SURFACE = "sea_surface_"
# Standard names of observations that models do not use. In situ and potential temperature are the
# same at the surface.
_OBSERVED: dict[Quantity, tuple[str, ...]] = {
    "temperature": (
        "sea_water_temperature",
        *(f"{_SURFACE}{layer}temperature" for layer in ("", "subskin_", "foundation_")),
    ),
    "salinity": ("sea_surface_salinity", "sea_water_knudsen_salinity", "sea_water_cox_salinity"),
    "sea_level": (),
}
_UPWARD = ("altitude", "height", "height_above_mean_sea_level", "height_above_geopotential_datum")
_PRESSURE = ("sea_water_pressure", "sea_water_pressure_due_to_sea_water")
_CF_ERROR = "standard_error"  # a modifier of standard names
_ERRORS = ("_error", "_ERROR")  # ends of names
_FLAGS = ("_qc", "_QC")
_CF_FLAGS = ("status_flag", "quality_flag")
_GOOD = re.compile(r"(?<!not_)\bgood|probably_good|\bnominal|\bpass")


@dataclass(frozen=True)
class Source:
    """An opened file of observations; equation: name of the equation of state they are for."""

    dataset: xr.Dataset
    path: Path
    equation: str


def observed_variables(source: Source) -> dict[Quantity, xr.DataArray]:
    """The variable of each observed quantity.

    Of several, that of the kind which the equation takes.

    Raises UserError if there is none, for an anomaly, for a temperature that does not state its
    kind, and if the choice is open.
    """
    found = {name: one for name in QUANTITIES if (one := _variable(name, source)) is not None}
    if not found:
        names = [f"{name}{_standard(v)}" for name, v in source.dataset.variables.items()]
        raise UserError(
            f"{source.path} has no temperature, salinity or sea level that it states by a "
            f"standard_name such as sea_water_temperature: found {', '.join(names) or 'nothing'}; "
            "add the attribute."
        )
    return found


def by_dimensions(
    variables: Mapping[Quantity, xr.DataArray],
) -> list[dict[Quantity, xr.DataArray]]:
    """The variables in groups of the same dimensions, in one order."""
    groups: dict[frozenset[Hashable], dict[Quantity, xr.DataArray]] = {}
    for quantity, variable in variables.items():
        group = groups.setdefault(frozenset(variable.dims), {})
        first = next(iter(group.values()), variable)
        group[quantity] = variable.transpose(*first.dims)
    return list(groups.values())


def samples_of(
    variables: Mapping[Quantity, xr.DataArray], source: Source, *, profile: xr.Variable | None
) -> Samples:
    """Samples of variables with the same dimensions, in the order of these.

    profile: number of the profile along some of the dimensions; None: all are one
    """
    first = next(iter(variables.values()))
    x, y, units = _horizontal(first, source)
    deep = next((one for name, one in variables.items() if name != "sea_level"), first)
    top, bottom, pressure = _vertical(deep, source)
    fields = {name: _field(name, one, source) for name, one in variables.items()}
    longitude, latitude, upper, lower = (spread(one, first) for one in (x, y, top, bottom))
    there = np.isfinite(longitude) & np.isfinite(upper)
    zeros = np.zeros(first.size)
    number = zeros if profile is None else spread(profile, first)
    return Samples(
        longitude=longitude,
        latitude=latitude,
        top=upper,
        bottom=lower,
        width=zeros,
        height=zeros,
        profile=number.astype(np.int64),
        fields=fields,
        horizontal_units=units,
        pressure=pressure,
        left_out=sum(int((there & ~np.isfinite(one.value)).sum()) for one in fields.values()),
    )


def spread(values: xr.Variable, over: xr.DataArray) -> FloatArray:
    """Values on some dimensions of a variable, repeated along the others: flat, in its order."""
    like = xr.Variable(over.dims, np.empty(over.shape, dtype=np.bool_))
    _, repeated = xr.broadcast(xr.DataArray(like), xr.DataArray(values))
    ordered = repeated.transpose(*over.dims).values
    return np.array(ordered, dtype=np.float64).ravel()


def coordinate(what: str, of: xr.DataArray, source: Source) -> xr.DataArray | None:
    """The variable that is longitude, latitude, depth or pressure of another; None if none is.

    Those that the attribute `coordinates` names come first. Raises UserError if two remain that
    differ.
    """
    named = str(of.encoding.get("coordinates", of.attrs.get("coordinates", ""))).split()
    ranks = {
        name: (str(name) not in named and name not in of.dims, _rank(what, str(name), variable))
        for name, variable in source.dataset.variables.items()
        if name != of.name and {*variable.dims} <= {*of.dims} and variable.dtype.kind in "fiu"
    }
    ranks = {name: rank for name, rank in ranks.items() if rank[1] < 4}
    best = [name for name, rank in ranks.items() if rank == min(ranks.values())]
    if not best:
        return None
    values = [source.dataset[name] for name in best]
    if any(not np.array_equal(values[0], one, equal_nan=True) for one in values[1:]):
        raise UserError(
            f"{source.path} has {' and '.join(map(str, best))}, which could each be the {what} of "
            f"{of.name}: expected one; name it in the attribute coordinates of {of.name}."
        )
    return values[0]


def bounds_of(variable: xr.DataArray, source: Source) -> xr.Variable | None:
    """Bounds of a coordinate, with the two along the last dimension; None if it states none."""
    name = variable.attrs.get("bounds")
    if name is None or name not in source.dataset.variables:
        return None
    bounds = source.dataset.variables[name]
    if bounds.dims[:-1] != variable.dims or bounds.shape[-1] != 2:
        return None
    return bounds


def _variable(quantity: Quantity, source: Source) -> xr.DataArray | None:
    known = NAMES[quantity]
    standard = (*known.standard, *_OBSERVED[quantity])
    variables = source.dataset.variables
    surest = [name for name, v in variables.items() if v.attrs.get("standard_name") in standard]
    names = surest or [
        name
        for name, v in variables.items()
        if str(name).lower() in known.customary and "standard_name" not in v.attrs
    ]
    if not names:
        return None
    taken = taken_kinds(source.equation).get(quantity)
    order = [_preference(quantity, source.dataset[name], taken) for name in names]
    best = [name for name, rank in zip(names, order, strict=True) if rank == min(order)]
    if len(best) > 1:
        raise UserError(
            f"{source.path} has {' and '.join(map(str, best))}, which are each {quantity}: "
            "expected one; leave the others out of the file (ncks -x -v)."
        )
    found = source.dataset[best[0]]
    _check_meaning(quantity, found, source.path)
    return found


def _preference(quantity: Quantity, variable: xr.DataArray, taken: str | None) -> int:
    if quantity == "sea_level":
        return NAMES[quantity].standard.index(_stated(variable) or NAMES[quantity].standard[0])
    kind = _kind(quantity, variable)
    return 0 if kind == taken else 1 if kind is None else 2


def _check_meaning(quantity: Quantity, variable: xr.DataArray, path: Path) -> None:
    texts = f"{variable.name} {variable.attrs.get('long_name', '')}".lower()
    if "anomal" in texts or variable.name == "sla":
        raise UserError(
            f"{variable.name} of {path} is an anomaly: expected {quantity} itself; add the mean "
            "that it was taken from."
        )
    open_kind = quantity == "temperature" and _kind(quantity, variable) is None
    if open_kind:
        raise UserError(
            f"{variable.name} of {path} does not state which temperature it is: expected a "
            "standard_name, sea_water_temperature (in situ), sea_water_potential_temperature or "
            "sea_water_conservative_temperature; add the attribute."
        )


def _stated(variable: xr.DataArray) -> str:
    return str(variable.attrs.get("standard_name", ""))


def _standard(variable: xr.Variable) -> str:
    stated = variable.attrs.get("standard_name")
    return f" ({stated})" if stated else ""


def _kind(quantity: Quantity, variable: xr.DataArray) -> str | None:
    if quantity == "sea_level":
        return None
    if quantity == "temperature" and _stated(variable).startswith(_SURFACE):
        return POTENTIAL
    practical = quantity == "salinity" and is_practical(str(variable.attrs.get("units", "")))
    stated = stated_kind(variable.name, variable.attrs)
    return stated or (PRACTICAL if practical else None)


def _field(quantity: Quantity, variable: xr.DataArray, source: Source) -> Field:
    scale, offset = _to_units(quantity, variable, source.path)
    value = scale * np.array(variable.values, dtype=np.float64).ravel() + offset
    value[~_unflagged(variable, source)] = np.nan
    error = np.full(value.shape, np.nan)
    stated = _error_of(variable, source)
    if stated is not None:
        error = spread(stated.variable, variable) * _error_scale(quantity, stated, scale, source)
    return Field(str(variable.name), value, error, _kind(quantity, variable))


def _to_units(quantity: Quantity, variable: xr.DataArray, path: Path) -> tuple[float, float]:
    """Factor and offset to degC, 1e-3 or g/kg, or m. Raises UserError for other units."""
    if quantity != "temperature":
        return field_factor(quantity.replace("_", " "), variable, path), 0.0
    units = str(variable.attrs.get("units", "")).strip()
    kelvin = is_kelvin(units) if units else False
    if kelvin is None:
        raise UserError(
            f'{variable.name} of {path} is in "{units}": expected degC or K; convert the file.'
        )
    return 1.0, -ZERO_CELSIUS if kelvin else 0.0


def _error_scale(quantity: Quantity, error: xr.DataArray, scale: float, source: Source) -> float:
    """What converts an error to the units of the values; kelvin and degC are the same."""
    return _to_units(quantity, error, source.path)[0] if "units" in error.attrs else scale


def _error_of(variable: xr.DataArray, source: Source) -> xr.DataArray | None:
    def is_error(one: xr.DataArray) -> bool:
        return _stated(one).endswith(f" {_CF_ERROR}")

    found = [one for one in _ancillary(variable, source) if is_error(one)]
    names = [f"{variable.name}{end}" for end in _ERRORS]
    found += [source.dataset[name] for name in names if name in source.dataset.variables]
    return next((one for one in found if {*one.dims} <= {*variable.dims}), None)


def _ancillary(variable: xr.DataArray, source: Source) -> list[xr.DataArray]:
    names = str(variable.attrs.get("ancillary_variables", "")).split()
    return [source.dataset[name] for name in names if name in source.dataset.variables]


def _unflagged(variable: xr.DataArray, source: Source) -> NDArray[np.bool_]:
    """Where no flag that names good values, as `flag_meanings` do, says otherwise: flat."""
    ends = tuple(f"{variable.name}{end}" for end in _FLAGS)
    others = [source.dataset[name] for name in ends if name in source.dataset.variables]
    usable = np.ones(variable.size, dtype=np.bool_)
    for flag in [*_ancillary(variable, source), *others]:
        is_flag = _stated(flag).endswith(_CF_FLAGS) or flag.name in ends
        meanings = str(flag.attrs.get("flag_meanings", "")).lower().split()
        good = [number for number, text in enumerate(meanings) if _GOOD.search(text)]
        values = np.atleast_1d(flag.attrs.get("flag_values", []))
        if is_flag and good and len(values) == len(meanings) and {*flag.dims} <= {*variable.dims}:
            usable &= np.isin(spread(flag.variable, variable), values[good].astype(np.float64))
    return usable


def _rank(what: str, name: str, variable: xr.Variable) -> int:
    """0 for the surest name of a coordinate; 4 for none."""
    stated = variable.attrs.get("standard_name")
    units = str(variable.attrs.get("units", "")).lower()
    if what == "pressure":
        in_dbar = units in PRESSURES
        named = name.lower() in ("pres", "pressure") or _rank("depth", name, _bare(variable)) < 4
        return 0 if stated in _PRESSURE else 2 if in_dbar and named else 4
    if what == "depth":
        if units in PRESSURES or stated in _PRESSURE:
            return 4
        if stated in _UPWARD:
            return 1
    elif units in (EASTWARD if what == "longitude" else NORTHWARD):
        return min(2, NAMES[what].rank(name, variable))
    rank = NAMES[what].rank(name, variable)
    return rank if rank < 3 else 4


def _bare(variable: xr.Variable) -> xr.Variable:
    """The variable without units, to judge its name."""
    attributes = {key: value for key, value in variable.attrs.items() if key != "units"}
    return xr.Variable((), 0, attributes)


def _horizontal(of: xr.DataArray, source: Source) -> tuple[xr.Variable, xr.Variable, str]:
    pair = [coordinate(what, of, source) for what in ("longitude", "latitude")]
    longitude, latitude = pair
    if longitude is None or latitude is None:
        missing = "longitude" if longitude is None else "latitude"
        raise UserError(
            f"{source.path} has no {missing} on the dimensions of {of.name} "
            f"({', '.join(map(str, of.dims)) or 'none'}): expected a variable with standard_name "
            f"{missing}, or projection coordinates in m or km; add it."
        )
    x, y, units = horizontal_positions(longitude, latitude, source.dataset, source.path)
    return xr.Variable(longitude.dims, x), xr.Variable(latitude.dims, y), units


def _vertical(of: xr.DataArray, source: Source) -> tuple[xr.Variable, xr.Variable, bool]:
    """Top and bottom [m], or [dbar] if the third is true; equal without bounds."""
    found = coordinate("depth", of, source)
    pressure = None if found is not None else coordinate("pressure", of, source)
    if pressure is not None:
        metres = factor(
            pressure.attrs, PRESSURES, quantity="pressure", path=source.path, expected="dbar"
        )
        level = xr.Variable(pressure.dims, metres * pressure.values)
        return level, level, True
    if found is None:
        at_surface = _stated(of).startswith(_SURFACE) or str(of.name).lower() in (
            NAMES["sea_level"].customary
        )
        if at_surface:
            return xr.Variable((), 0.0), xr.Variable((), 0.0), False
        raise UserError(
            f"{source.path} has no depth on the dimensions of {of.name} "
            f"({', '.join(map(str, of.dims)) or 'none'}): expected a variable with standard_name "
            "depth in m, or a quantity of the surface (sea_surface_temperature); add it."
        )
    metres = factor(found.attrs, LENGTHS, quantity="depth", path=source.path, expected="m")
    up = str(found.attrs.get("positive", "")).lower() == "up" or _stated(found) in _UPWARD
    scale = -metres if up else metres
    bounds = bounds_of(found, source)
    if bounds is None:
        level = xr.Variable(found.dims, scale * found.values)
        return level, level, False
    ends = scale * np.asarray(bounds.values, dtype=np.float64)
    ends.sort(axis=-1)
    return xr.Variable(found.dims, ends[..., 0]), xr.Variable(found.dims, ends[..., 1]), False
