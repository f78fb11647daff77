"""Which variable of a file is which quantity, and which of its dimensions is which axis.

Candidates have the right standard name or a customary name. Of several, those with the dimensions
that the quantity needs remain, then those that temperature's own `coordinates` attribute names,
then those with the better name. If two remain, both are named in a refusal; the order in the file
never decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from data.errors import UserError
from data.readers.dimensions import Axes, axes_of, constant, is_time, on_axes
from data.readers.quantities import QUANTITIES
from data.readers.settings import NONE, Variables
from data.units import METRES

EASTWARD = {"degrees_east", "degree_east", "degree_e", "degrees_e"}
NORTHWARD = {"degrees_north", "degree_north", "degree_n", "degrees_n"}
_LENGTHS = METRES | {"cm", "centimeter", "centimeters", "centimetre", "centimetres"}

Fits = Callable[[xr.DataArray], bool]


_MAIN = ("temperature", "salinity", "sea_level")
_HELP = {"wet_levels": "mask", "open_part": "thickness", "layers": "thickness"}


@dataclass(frozen=True)
class Found:
    """Variables by quantity, constants without time; and the axes of temperature."""

    variables: dict[str, xr.DataArray]
    axes: Axes


def main_quantities(dataset: xr.Dataset, names: Variables) -> frozenset[str]:
    """Which of temperature, salinity and sea level the dataset holds, by their names."""
    ranks = {"temperature": (3, 4, 5), "salinity": (3, 4, 5), "sea_level": (2, 3)}
    return frozenset(
        quantity
        for quantity in _MAIN
        if any(
            dataset.variables[name].ndim in ranks[quantity]
            for name in _names(dataset, quantity, getattr(names, quantity))
        )
    )


def find_temperature(dataset: xr.Dataset, path: Path, names: Variables) -> xr.DataArray:
    """The variable of temperature. Raises UserError if there is none, or more than one."""
    present = _names(dataset, "temperature", names.temperature, path)
    for dimensions in (4, 3):
        fits = [name for name in present if _rank(dataset.variables[name]) == dimensions]
        if fits:
            return dataset[_only(dataset, path, "temperature", fits)]
    return _refuse_to_guess(dataset, path, "temperature", names, "time, depth, y, x")


def _rank(variable: xr.Variable) -> int:
    """Number of dimensions; beyond four those of size 1 do not count."""
    long = sum(size > 1 for size in variable.shape)
    return variable.ndim if variable.ndim <= 4 or long > 4 else 4


def find_variables(dataset: xr.Dataset, path: Path, names: Variables) -> Found:
    """Every quantity that the dataset holds.

    Raises UserError for a quantity that is missing, on other cells than temperature, ambiguous, or
    a constant that changes in time.
    """
    temperature = find_temperature(dataset, path, names)
    _check_not_empty(temperature, path)
    search = _Search(dataset, path, names, temperature)
    positions = {name: search.position(name) for name in ("longitude", "latitude")}
    depth = search.depth(positions)
    axes = axes_of(temperature, positions["longitude"], positions["latitude"], depth, path)
    found = {"temperature": on_axes(temperature, axes, path, keep_time=True), "depth": depth}
    for name, variable in positions.items():
        found[name] = on_axes(variable, axes, path)
    found |= search.on_cells(axes)
    _add_partial_cells(found, path)
    return Found(found, axes)


@dataclass(frozen=True)
class _Search:
    """Looks for the quantities that belong to one variable of temperature."""

    dataset: xr.Dataset
    path: Path
    names: Variables
    temperature: xr.DataArray

    def position(self, quantity: str) -> xr.DataArray:
        """Longitude or latitude, on one or two dimensions of temperature."""

        def fits(variable: xr.DataArray) -> bool:
            return 1 <= len([d for d in variable.dims if not is_time(variable, str(d))]) <= 2

        found = self._find(quantity, fits, "one or two dimensions of temperature")
        if found is None:
            return _refuse_to_guess(self.dataset, self.path, quantity, self.names, "y, x")
        return found

    def depth(self, positions: dict[str, xr.DataArray]) -> xr.DataArray:
        """Depth, on the one dimension of temperature that is neither time nor horizontal."""
        horizontal = {dim for variable in positions.values() for dim in variable.dims}

        def own(variable: xr.DataArray) -> list[str]:
            dims = [str(dim) for dim in variable.dims if dim not in horizontal]
            return [dim for dim in dims if not is_time(self.temperature, dim)]

        def fits(variable: xr.DataArray) -> bool:
            return len(own(variable)) == 1 and not horizontal.intersection(variable.dims)

        found = self._find("depth", fits, "the levels of temperature")
        if found is None:
            return _refuse_to_guess(self.dataset, self.path, "depth", self.names, "depth")
        for dim in {*found.dims} - {*own(found)}:
            found = constant(found, str(dim), self.path)
        return found

    def on_cells(self, axes: Axes) -> dict[str, xr.DataArray]:
        """Everything that is given for the cells of `axes`; a constant loses its time axis."""
        volume, flat = {axes.z, axes.y, axes.x}, {axes.y, axes.x}
        fits: dict[str, tuple[Fits, str]] = {
            "salinity": (lambda v: volume <= {*v.dims}, "depth, y, x"),
            "sea_level": (lambda v: flat <= {*v.dims} and axes.z not in v.dims, "y, x"),
            "mask": (lambda v: flat <= {*v.dims}, "depth, y, x"),
            "area": (lambda v: bool(flat & {*v.dims}) and axes.z not in v.dims, "y, x"),
            "thickness": (lambda v: axes.z in v.dims, "depth, y, x"),
            "wet_levels": (lambda v: flat == {*v.dims} - {axes.time}, "y, x"),
            "open_part": (lambda v: volume <= {*v.dims}, "depth, y, x"),
            "layers": (lambda v: {axes.z} == {*v.dims} - {axes.time}, "depth"),
        }
        found = {}
        for quantity, (fit, expected) in fits.items():
            variable = self._find(quantity, fit, expected)
            if variable is not None:
                over_time = quantity in {*_MAIN, "thickness"}
                found[quantity] = on_axes(variable, axes, self.path, keep_time=over_time)
        if "thickness" in found and axes.time in found["thickness"].dims:
            # Layers that move with the surface (NEMO's vvl).
            found["thickness"] = found["thickness"].mean(axes.time, keep_attrs=True)
        if "salinity" not in found:
            _refuse_to_guess(self.dataset, self.path, "salinity", self.names, "depth, y, x")
        return found

    def _find(self, quantity: str, fits: Fits, expected: str) -> xr.DataArray | None:
        given = getattr(self.names, quantity, None)
        if given == NONE and quantity not in ("temperature", "salinity"):
            return None
        names = _names(self.dataset, quantity, given, self.path)
        if quantity in ("longitude", "latitude", "depth") and given is None:
            names += [name for name in self._by_units(quantity) if name not in names]
        sure = [given] if given else _customary(names, quantity)
        candidates = self._with_dimensions(names, sure, fits)
        if not candidates and sure and (given or quantity in _OPTIONAL):
            return _refuse_dimensions(self, quantity, sure[0], expected)
        if not candidates:
            return None
        chosen = _only(
            self.dataset, self.path, quantity, _fullest(candidates), named=self._coordinates()
        )
        return candidates[chosen]

    def _with_dimensions(
        self, names: Sequence[str], sure: Sequence[str], fits: Fits
    ) -> dict[str, xr.DataArray]:
        """Candidates on temperature's dimensions.

        sure: names that mean the cells of temperature; without any candidate on dimensions of the
        same names, theirs may be of the same sizes
        """
        for align, tried in ((_named_alike, names), (_sized_alike, sure)):
            aligned = {name: align(self.dataset[name], self.temperature) for name in tried}
            fitting = {name: v for name, v in aligned.items() if v is not None and fits(v)}
            if fitting:
                return fitting
        return {}

    def _coordinates(self) -> set[str]:
        """Variables that the `coordinates` attribute of temperature names."""
        variable = self.dataset.variables[self.temperature.name]
        return {*str({**variable.attrs, **variable.encoding}.get("coordinates") or "").split()}

    def _by_units(self, quantity: str) -> list[str]:
        """Unusual names: coordinates of temperature whose units tell what they are."""
        units = {"longitude": EASTWARD, "latitude": NORTHWARD, "depth": _LENGTHS}[quantity]
        own = self._coordinates() | {str(dim) for dim in self.temperature.dims}
        variables = self.dataset.variables
        return sorted(
            name
            for name in own & {str(key) for key in variables}
            if str(variables[name].attrs.get("units")).lower() in units
            and (quantity != "depth" or "positive" in variables[name].attrs)
        )


_OPTIONAL = ("sea_level", "mask", "area", "thickness", "wet_levels", "open_part")


def _names(
    dataset: xr.Dataset, quantity: str, given: str | None, path: Path | None = None
) -> list[str]:
    """Names of all variables that may be the quantity; only `given`, if there is one."""
    if given is not None and given != NONE:
        if given not in dataset.variables and path is not None:
            raise UserError(
                f"{path} has no variable {given} for {quantity}: found "
                f"{', '.join(map(str, dataset.variables))}; correct "
                f"data.ingest.variables.{quantity}."
            )
        return [given] if given in dataset.variables else []
    known = QUANTITIES[quantity]
    return [
        str(name)
        for name, variable in dataset.variables.items()
        if known.rank(str(name), variable) < 4
    ]


def _customary(names: Sequence[str], quantity: str) -> list[str]:
    return [name for name in names if name.lower() in QUANTITIES[quantity].customary]


def _fullest(candidates: dict[str, xr.DataArray]) -> list[str]:
    """Those with most dimensions: a mask of cells before one of columns."""
    most = max(variable.ndim for variable in candidates.values())
    return [name for name, variable in candidates.items() if variable.ndim == most]


def _only(
    dataset: xr.Dataset,
    path: Path,
    quantity: str,
    names: Sequence[str],
    *,
    named: set[str] | None = None,
) -> str:
    """The one name that remains. Raises UserError if two do that differ in their values."""
    left = [name for name in names if name in (named or ())] or list(names)
    ranks = {name: QUANTITIES[quantity].rank(name, dataset.variables[name]) for name in left}
    left = [name for name in left if ranks[name] == min(ranks.values())]
    if len(left) > 1 and not _all_equal([dataset.variables[name] for name in left]):
        setting = _HELP.get(quantity, quantity)
        raise UserError(
            f"{path} has {' and '.join(left)}, which could each be the {setting}: name the one to "
            f"read in the settings as data.ingest.variables.{setting}."
        )
    return left[0]


def _all_equal(variables: list[xr.Variable]) -> bool:
    """Whether the variables, if they are no larger than a map, hold the same numbers."""
    first = variables[0]
    small = all(variable.ndim <= 2 for variable in variables)
    return small and all(
        variable.shape == first.shape
        and np.array_equal(variable.values, first.values, equal_nan=first.dtype.kind == "f")
        for variable in variables
    )


def _named_alike(variable: xr.DataArray, temperature: xr.DataArray) -> xr.DataArray | None:
    """The variable without other dimensions than temperature's; None if those are not of size 1."""
    other = [dim for dim in variable.dims if dim not in temperature.dims]
    if any(variable.sizes[dim] != 1 for dim in other):
        return None
    return variable.isel(dict.fromkeys(other, 0))


def _sized_alike(variable: xr.DataArray, temperature: xr.DataArray) -> xr.DataArray | None:
    """The variable with dimensions renamed to temperature's, where their sizes leave no doubt."""
    free = [dim for dim in temperature.dims if dim not in variable.dims]
    names = {}
    for dim in variable.dims:
        if dim in temperature.dims or variable.sizes[dim] == 1:
            continue
        twins = [other for other in variable.dims if variable.sizes[other] == variable.sizes[dim]]
        matches = [name for name in free if temperature.sizes[name] == variable.sizes[dim]]
        if len(matches) != 1 or len(twins) != 1:
            return None
        names[dim] = matches[0]
    renamed = xr.DataArray(variable.variable, name=variable.name).rename(names)
    return _named_alike(renamed, temperature)


def _check_not_empty(temperature: xr.DataArray, path: Path) -> None:
    empty = [str(dim) for dim, size in temperature.sizes.items() if size == 0]
    if empty:
        raise UserError(
            f"{temperature.name} of {path} has no values along {', '.join(empty)}: the model has "
            "not written a state yet; leave the file out."
        )


def _add_partial_cells(found: dict[str, xr.DataArray], path: Path) -> None:
    """Put `thickness` and `mask` of MITgcm's partial cells into `found`."""
    if "open_part" not in found:
        return
    part = found["open_part"]
    if found.get("mask") is None or found["mask"].ndim == 2:
        found["mask"] = (part > 0).rename(str(part.name))
    thickness = found.get("thickness")
    if thickness is not None and thickness.ndim > 1:
        return
    layers = found.get("layers", thickness)
    if layers is None:
        raise UserError(
            f"{path} has the open part of its cells, {part.name}, but not the thickness of its "
            "levels (drF): add it, or name the thickness of cells as "
            "data.ingest.variables.thickness."
        )
    whole = xr.DataArray(layers.variable, name=layers.name)
    thickness = (xr.DataArray(part.variable) * whole).transpose(*part.dims)
    found["thickness"] = thickness.assign_attrs(layers.attrs)


def _refuse_to_guess(
    dataset: xr.Dataset, path: Path, quantity: str, names: Variables, expected: str
) -> xr.DataArray:
    present = _names(dataset, quantity, getattr(names, quantity), path)
    if present:
        dims = ", ".join(map(str, dataset.variables[present[0]].dims)) or "none"
        raise UserError(
            f"{present[0]} of {path} has dimensions {dims}: expected the cells of temperature "
            f"({expected}); correct data.ingest.variables.{quantity}."
        )
    known = QUANTITIES[quantity]
    raise UserError(
        f"{path} has no {quantity}: expected standard_name {known.standard[0]} or a variable "
        f"{known.customary[0]}, found {', '.join(map(str, dataset.variables))}; name it in the "
        f"settings as data.ingest.variables.{quantity}."
    )


def _refuse_dimensions(search: _Search, quantity: str, name: str, expected: str) -> xr.DataArray:
    setting = _HELP.get(quantity, quantity)
    dims = ", ".join(map(str, search.dataset.variables[name].dims)) or "none"
    others = ", ".join(map(str, search.temperature.dims))
    alternative = f", or set it to {NONE}" if quantity in _OPTIONAL else ""
    raise UserError(
        f"{name} of {search.path} has dimensions {dims}: expected {expected} as "
        f"{search.temperature.name} has them ({others}); name another variable as "
        f"data.ingest.variables.{setting}{alternative}."
    )
