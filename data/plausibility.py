"""What sea water and an ocean's grid can be, wherever states enter or leave.

The limits hold in every ocean, with room for what models overshoot by. Tests of single cells find
states that blew up, masks of another grid and fill values that a file does not declare; tests of
medians find other units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.checks import check_finite
from data.errors import UserError
from data.geometry import layer_thickness
from data.grid import OceanGrid
from data.state import State
from data.units import KELVIN_ABOVE

Floats = NDArray[np.floating]


class Limits(NamedTuple):
    """Lowest and highest value in any ocean, and their units."""

    lowest: float
    highest: float
    units: str


# Land is 0 in states, which lies within all limits.
LIMITS = {
    "thetao": Limits(-5.0, 50.0, "degC"),
    "so": Limits(-0.5, 60.0, "1e-3 or g/kg"),
    "zos": Limits(-20.0, 20.0, "m"),
}
KILOGRAMS_BELOW = 1.0  # no ocean is this fresh in 1e-3 or g/kg, none this salty in kg/kg
DEEPEST = 12e3  # m, below the Challenger Deep
_SHALLOWEST = 1.0  # m; an ocean less deep than this is measured in something else
_EARTH = 5.2e14  # m2, its surface
FURTHEST_EAST = 1080.0  # degrees; models count on from turn to turn
# Layers from midway to midway between centres, against the thickness that is given. In real files
# the ratio is 0.9 to 1.2; partial cells make it smaller.
_THICKER, _THINNER = 4.0, 1 / 3
# Cells that are not the lowest or highest of their column are as thick as most of their level,
# except for what levels breathe with the surface and for walls that cut a cell.
_UNEQUAL, _UNEQUAL_SHARE = 1.25, 0.4
_KELVIN = (KELVIN_ABOVE, 400.0)  # medians of temperature
_CELSIUS_LESS_ZERO = (-300.0, -150.0)  # medians, where 273.15 was subtracted from degC
_CENTIMETRES = 2000.0  # no sea level is this far from the geoid in cm


@dataclass(frozen=True)
class Door:
    """Where states are checked.

    grid: of the states; source: what holds them, as messages call it
    advice: what to do about cells that hold no sea water
    names: of thetao, so and zos in the source, where they differ
    """

    grid: OceanGrid
    source: object
    advice: str
    names: Mapping[str, str] = field(default_factory=dict)


def check_field(name: str, values: Floats, *, door: Door, numbers: Sequence[int]) -> None:
    """Raise UserError if wet cells of the states `values` `b ...`, 0 on land, are not sea water.

    name: thetao, so or zos; numbers: `b`, of the states
    """
    limits = LIMITS[name]
    # NaN fails the comparison too.
    if not values.size or (values.min() >= limits.lowest and values.max() <= limits.highest):
        return
    label = door.names.get(name, name)
    check_finite(values, numbers=numbers, path=door.source, name=label, advice=door.advice)
    bad = (values < limits.lowest) | (values > limits.highest)
    row = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
    raise UserError(_described(name, values[row], bad[row], door, numbers[row]))


def check_state(state: State, *, door: Door, numbers: Sequence[int]) -> None:
    """`check_field` of all fields whatever is on land, and tests of each state as a whole.

    numbers: `b`, of the states in messages

    Raises UserError, too, for land values in wet cells and for salinity in kg/kg.
    """
    wet = door.grid.wet
    given = {"thetao": state.temperature, "so": state.salinity, "zos": state.sea_level}
    fields = {
        name: np.where(wet[0] if name == "zos" else wet, values.detach().cpu().numpy(), 0)
        for name, values in given.items()
        if values is not None
    }
    for name, values in fields.items():
        check_field(name, values, door=door, numbers=numbers)
    for number, temperature, salinity in zip(numbers, fields["thetao"], fields["so"], strict=True):
        _check_whole(temperature[wet], salinity[wet], door, number)


def _check_whole(temperature: Floats, salinity: Floats, door: Door, number: int) -> None:
    """Raise UserError for land values among the wet cells of a state, and for kg/kg."""
    blank = int(((temperature == 0) & (salinity == 0)).sum())
    if blank:
        raise UserError(
            f"state {number} of {door.source} has 0 for both temperature and salinity, a land "
            f"value, in {blank} of {len(salinity)} wet cells: expected sea water; {door.advice}."
        )
    median = float(np.median(salinity))
    if median < KILOGRAMS_BELOW:
        raise UserError(
            f"salinity of state {number} of {door.source} has a median of {median:.4g}: expected "
            "1e-3 or g/kg; multiply kg/kg by 1000 and correct the units."
        )


def _described(name: str, values: Floats, bad: NDArray[np.bool_], door: Door, number: int) -> str:
    """One sentence on the cells `bad` of one state: how many, the extreme, where, and why."""
    limits, wet = LIMITS[name], door.grid.wet[0] if values.ndim == 2 else door.grid.wet
    beyond = np.where(bad, np.maximum(values - limits.highest, limits.lowest - values), -np.inf)
    cell = tuple(int(i) for i in np.unravel_index(int(beyond.argmax()), values.shape))
    return (
        f"state {number} of {door.source} has {door.names.get(name, name)} outside "
        f"{limits.lowest:g} to {limits.highest:g} {limits.units}, what sea water can be, in "
        f"{bad.sum()} of {wet.sum()} wet cells, {values[cell]:.6g} at {_place(cell, door.grid)}: "
        f"{_cause(name, values[wet], float(values[cell])) or door.advice}."
    )


def _place(cell: tuple[int, ...], grid: OceanGrid) -> str:
    x, y = (float(position[cell[-2:]]) for position in grid.positions)
    horizontal = f"x = {x:g}, y = {y:g} {grid.horizontal_units}"
    if len(cell) == 2:
        return f"cell (y, x) = {cell}, {horizontal}"
    return f"cell (z, y, x) = {cell}, {horizontal}, {grid.depth[cell[0]]:g} m"


def _cause(name: str, wet_values: Floats, extreme: float) -> str:
    """What the values suggest; empty if nothing in particular."""
    median = float(np.median(wet_values))
    if name == "thetao" and _KELVIN[0] < median < _KELVIN[1]:
        return f"it is in kelvin (a median of {median:.1f}), expected degC; subtract 273.15"
    if name == "thetao" and _CELSIUS_LESS_ZERO[0] < median < _CELSIUS_LESS_ZERO[1]:
        return (
            f"273.15 was subtracted from degC (a median of {median:.1f}); correct the units or "
            "data.ingest.temperature_units"
        )
    repeated = int((wet_values == extreme).sum())
    if abs(extreme) > KELVIN_ABOVE - 2 and 1 < repeated < len(wet_values):
        return (
            f"the value is in {repeated} cells, as a missing value that the file does not declare; "
            "declare it (_FillValue), or correct the mask"
        )
    if name == "zos" and float(np.abs(wet_values).max()) < _CENTIMETRES:
        return "expected metres from the geoid; divide centimetres by 100, or correct the state"
    return ""


def check_grid(grid: OceanGrid, *, source: object) -> None:
    """Raise UserError for a grid that no ocean has.

    That is: shapes that disagree, no wet cell, depths that do not increase from the surface, are
    not in m or do not fit the thickness; wet cells without thickness, area or position; columns
    that are there twice on a periodic axis.
    """
    _check_shapes(grid, source)
    if not grid.wet.any():
        raise UserError(f"the wet mask of {source} has no wet cell: expected 1 in the ocean.")
    check_depth(grid.depth, source=source)
    _check_positions(grid, source)
    for name, values in {"thickness": grid.thickness, "cell_area": grid.area}.items():
        bad = int((grid.wet & ~(np.isfinite(values) & (values > 0))).sum())
        if bad:
            raise UserError(
                f"{name} of {source} is not above 0 in {bad} wet cells: expected a positive "
                "value in every wet cell; correct it or the wet mask."
            )
    _check_thickness(grid, source)
    _check_area(grid, source)
    repeated = repeated_positions(grid) if grid.periodic_x else 0
    if repeated:
        raise repeated_columns(repeated, source=source)


def check_depth(depth: Floats, *, source: object) -> None:
    """Raise UserError unless depths `z` [m] are positive down, increase, and are an ocean's."""
    if not np.isfinite(depth).all():
        raise UserError(f"depth of {source} has NaN: expected the depth of every level [m].")
    if (depth < 0).any():
        raise UserError(
            f"depth of {source} is positive upward ({depth[0]:g} to {depth[-1]:g} m): expected "
            "positive down; change its sign and its attribute `positive`."
        )
    if not (np.diff(depth) > 0).all():
        raise UserError(
            f"depth of {source} does not increase from level to level ({depth[0]:g} to "
            f"{depth[-1]:g} m): expected the surface first; reverse the levels."
        )
    if depth[-1] > DEEPEST or (depth.size > 1 and depth[-1] <= _SHALLOWEST):
        raise UserError(
            f"depth of {source} is {depth[0]:g} to {depth[-1]:g} m, which no ocean is: expected "
            f"metres, {_SHALLOWEST:g} to {DEEPEST:g} at the lowest level, not centimetres, "
            "kilometres or a share of the depth; correct the depths and their units."
        )


def _check_shapes(grid: OceanGrid, source: object) -> None:
    levels, rows, columns = grid.shape
    expected = {"depth": (levels,), "thickness": grid.shape, "cell_area": (rows, columns)}
    given = {"depth": grid.depth, "thickness": grid.thickness, "cell_area": grid.area}
    for name, shape in expected.items():
        if np.shape(given[name]) != shape:
            raise UserError(
                f"{name} of {source} has shape {np.shape(given[name])}: expected {shape} to match "
                "the wet mask."
            )
    shapes = np.shape(grid.longitude), np.shape(grid.latitude)
    if shapes not in {((columns,), (rows,)), ((rows, columns), (rows, columns))}:
        x_name, y_name = ("lon", "lat") if grid.horizontal_units == "degrees" else ("x", "y")
        raise UserError(
            f"{x_name} and {y_name} of {source} have shapes {shapes[0]} and {shapes[1]}: "
            f"expected ({columns},) and ({rows},), or ({rows}, {columns}) both."
        )


def _check_thickness(grid: OceanGrid, source: object) -> None:
    """Hold the thickness of levels against the distance of their centres."""
    used: NDArray[np.bool_] = np.any(grid.wet, axis=(1, 2))
    if len(used) < 2:
        return
    thickest = grid.thickest[used]
    ratio = thickest / layer_thickness(grid.depth)[used]
    if ratio.max() > _THICKER or np.median(ratio) < _THINNER:
        level = int(np.flatnonzero(used)[np.abs(np.log(ratio)).argmax()])
        raise UserError(
            f"thickness of {source} does not fit its depths: level {level}, at "
            f"{grid.depth[level]:g} m, is {thickest[np.abs(np.log(ratio)).argmax()]:g} m thick, "
            f"where centres leave {layer_thickness(grid.depth)[level]:g} m; expected both in m, "
            "the surface first; correct their units or their order."
        )
    unequal, inner = _unequal_cells(grid)
    if unequal > _UNEQUAL_SHARE * inner:
        raise UserError(
            f"thickness of {source} varies along its levels in {unequal} of {inner} cells between "
            "surface and sea floor, as in terrain-following or isopycnal coordinates: expected "
            "levels of one depth; interpolate the states to depths first."
        )


def _unequal_cells(grid: OceanGrid) -> tuple[int, int]:
    """Cells of another thickness than their level, among cells with water above and below."""
    inner = grid.wet.copy()
    inner[0] = inner[-1] = False
    inner[1:] &= grid.wet[:-1]
    inner[:-1] &= grid.wet[1:]
    unequal = 0
    for thickness, cells in zip(grid.thickness, inner, strict=True):
        if cells.any():
            ratio = thickness[cells] / np.median(thickness[cells])
            unequal += int(((ratio > _UNEQUAL) | (ratio < 1 / _UNEQUAL)).sum())
    return unequal, int(inner.sum())


def _check_positions(grid: OceanGrid, source: object) -> None:
    column: NDArray[np.bool_] = np.any(grid.wet, axis=0)
    x, y = grid.positions
    bad = ~(np.isfinite(x) & np.isfinite(y))
    what = "no position"
    if grid.horizontal_units == "degrees" and not (bad & column).any():
        bad = (np.abs(y) > 90) | (np.abs(x) > FURTHEST_EAST)
        what = "a position beyond the poles or turns of the globe"
    count = int((bad & column).sum())
    if count:
        row, place = (int(i) for i in np.argwhere(bad & column)[0])
        raise UserError(
            f"{source} has {what} in {count} wet columns, the first (y, x) = ({row}, {place}), "
            f"x = {x[row, place]:g}, y = {y[row, place]:g}: expected longitude and latitude in "
            "degrees, or x and y with their units, in every wet column; correct them or the mask."
        )


def _check_area(grid: OceanGrid, source: object) -> None:
    total = float(grid.area[grid.wet.any(axis=0)].sum())
    if grid.horizontal_units == "degrees" and total > _EARTH:
        raise UserError(
            f"cell_area of {source} adds up to {total:.3g} m2, more than the Earth's surface: "
            "expected m2; correct the areas and their units."
        )


MOST_REPEATED = 8  # columns; halos are up to 4 wide on each side
_SAME_DEGREES = 1e-3


def repeated_positions(grid: OceanGrid) -> int:
    """How many last columns are at the positions of the first; 0 if none."""
    if grid.horizontal_units != "degrees":
        return 0
    longitude, latitude = grid.positions
    column: NDArray[np.bool_] = np.any(grid.wet, axis=0)

    def same(count: int) -> bool:
        both = column[:, :count] & column[:, -count:]
        turn = longitude[:, :count] - longitude[:, -count:]
        apart = np.hypot((turn + 180) % 360 - 180, latitude[:, :count] - latitude[:, -count:])
        return bool(both.any(axis=0).all() and (apart[both] < _SAME_DEGREES).all())

    most = min(MOST_REPEATED, grid.shape[2] // 2)
    return next((count for count in range(most, 0, -1) if same(count)), 0)


def repeated_columns(count: int, *, source: object) -> UserError:
    """The error for a periodic axis whose last `count` columns repeat the first."""
    what = "last column" if count == 1 else f"last {count} columns"
    return UserError(
        f"the {what} of {source} repeat{'s' * (count == 1)} the first: expected every column once "
        "with data.ingest.periodic_x: true, or water counts twice; set data.ingest.drop_columns: "
        f"{count} or drop what is repeated from the files (restarts of NEMO 4.0 and earlier need "
        "it: data.ingest.periodic_x: false keeps it)."
    )
