"""Reads observations from text: one row for each value, or a column for each quantity."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import fields as columns_of
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError, meant, shown
from data.kinds import ABSOLUTE, CONSERVATIVE, IN_SITU, POTENTIAL, PRACTICAL
from data.observations import FloatArray, Places, Quantity
from data.readers.samples import Field, Samples, by_position, numbered

# What a quantity may be called, and the kind that the name states.
_QUANTITIES: dict[str, tuple[Quantity, str | None]] = {
    "temperature": ("temperature", None),
    "potential_temperature": ("temperature", POTENTIAL),
    "conservative_temperature": ("temperature", CONSERVATIVE),
    "in_situ_temperature": ("temperature", IN_SITU),
    "salinity": ("salinity", None),
    "practical_salinity": ("salinity", PRACTICAL),
    "absolute_salinity": ("salinity", ABSOLUTE),
    "sea_level": ("sea_level", None),
}
_DEGREES = {"lon": "longitude", "lat": "latitude"}
_PLANE = {"x": "longitude", "y": "latitude"}
_PLACE = ("depth", "depth_top", "depth_bottom", "pressure", "width", "height", "profile")
_LONG = ("quantity", "value", "error")
_ASIDE = ("time", "date", "comment")  # are not read
_MISSING = {"nan", "na", "null"}


@dataclass(frozen=True)
class _Table:
    """Cells of the file as text, by column, and the line number of each row."""

    columns: dict[str, list[str]]
    lines: list[int]
    path: Path

    def numbers(self, name: str) -> FloatArray:
        """The numbers of a column `n`, NaN for missing ones and in columns that are not there.

        Raises UserError for other text.
        """
        if name not in self.columns:
            return np.full(len(self.lines), np.nan)
        cells = zip(self.columns[name], self.lines, strict=True)
        return np.array([self._number(cell, name, line) for cell, line in cells])

    def _number(self, cell: str, name: str, line: int) -> float:
        if not cell or cell.lower() in _MISSING:
            return np.nan
        try:
            number = float(cell)
        except ValueError:
            number = np.inf
        if not np.isfinite(number):
            raise UserError(
                f"line {line} of {self.path} has {shown(cell)} as {name}: expected a number, or "
                "nothing where it is missing; correct the line."
            )
        return number


def read_csv(path: Path) -> list[Samples]:
    """The samples of a file of comma-separated values.

    Raises UserError if the file is unreadable or empty, for unknown or missing columns and
    quantities, and for cells that are not numbers.
    """
    table = _read_table(path)
    _check_columns(table)
    place = _places(table)
    return [_long(table, place) if "value" in table.columns else _wide(table, place)]


def _read_table(path: Path) -> _Table:
    rows: list[tuple[int, list[str]]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(map(_without_comment, file), skipinitialspace=True)
            for cells in reader:
                if any(cells):
                    rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({error}): expected comma-separated values in UTF-8; check the "
            "file."
        ) from error
    if len(rows) < 2:
        raise UserError(
            f"{path} has no rows of values: expected a header with the names of its columns and a "
            "row for each value; check the file."
        )
    header = [cell.lower() for cell in rows[0][1]]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has two columns {shown(twice)}: expected each once; rename one.")
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise UserError(
                f"line {line} of {path} has {len(cells)} cells: expected {len(header)} as in its "
                "header, separated by commas; correct the line."
            )
    columns = zip(*(cells for _, cells in rows[1:]), strict=True)
    by_name = {name: list(cells) for name, cells in zip(header, columns, strict=True)}
    return _Table(by_name, [line for line, _ in rows[1:]], path)


def _without_comment(line: str) -> str:
    """The line, blank if it is a comment, whose quotes mean nothing."""
    return "\n" if line.lstrip().startswith("#") else line


def _check_columns(table: _Table) -> None:
    wide = [*_QUANTITIES, *(f"{name}_error" for name in _QUANTITIES)]
    known = ["longitude", "latitude", *_DEGREES, *_PLANE, *_PLACE, *_LONG, *wide, *_ASIDE]
    unknown = [name for name in table.columns if name not in known]
    if unknown:
        raise UserError(
            f"{table.path} has an unknown column {shown(unknown[0])}: expected longitude, latitude "
            "(or x, y), depth (or depth_top, depth_bottom), quantity, value and error or a column "
            "for each quantity, profile, width and height; rename or remove it"
            f"{meant(unknown[0], known) or '.'}"
        )
    given = set(table.columns)
    if "depth" in given and given & {"depth_top", "depth_bottom", "pressure"}:
        _refuse_both(table, "depth", given & {"depth_top", "depth_bottom", "pressure"})
    if len(given & {"depth_top", "depth_bottom"}) == 1:
        _refuse_missing(table, "both depth_top and depth_bottom")
    long, columns = given & {"quantity", "value"}, given & {*_QUANTITIES}
    if long and columns:
        _refuse_both(table, "value", columns)
    if len(long) == 1:
        _refuse_missing(table, "both quantity and value")
    if not long and not columns:
        _refuse_missing(table, "quantity and value, or temperature, salinity or sea_level")


def _refuse_both(table: _Table, name: str, others: set[str]) -> None:
    raise UserError(
        f"{table.path} has the columns {name} and {', '.join(sorted(others))}: expected one or the "
        "other; remove one."
    )


def _refuse_missing(table: _Table, expected: str) -> None:
    raise UserError(
        f"{table.path} has the columns {', '.join(map(shown, table.columns))}: expected "
        f"{expected}; add the columns, separated by commas."
    )


@dataclass(frozen=True)
class _Rows(Places):
    """Where and over what extent each row is."""

    horizontal_units: str
    pressure: bool

    def samples(
        self, rows: NDArray[np.int64], fields: dict[Quantity, Field], left_out: int
    ) -> Samples:
        """Samples at these rows."""
        return Samples(
            **{column.name: getattr(self, column.name)[rows] for column in columns_of(Places)},
            fields=fields,
            horizontal_units=self.horizontal_units,
            pressure=self.pressure,
            left_out=left_out,
        )


def _places(table: _Table) -> _Rows:
    names, units = _horizontal(table)
    longitude, latitude = (table.numbers(name) for name in names)
    pressure = "pressure" in table.columns
    point = "pressure" if pressure else "depth"
    layers = "depth_top" in table.columns
    top, bottom = (table.numbers(f"depth_{end}" if layers else point) for end in ("top", "bottom"))
    if "profile" in table.columns:
        profile = numbered(table.columns["profile"])
    else:
        profile = by_position(longitude, latitude)
    width, height = (_extent(table, name) for name in ("width", "height"))
    return _Rows(longitude, latitude, top, bottom, width, height, profile, units, pressure)


def _horizontal(table: _Table) -> tuple[tuple[str, str], str]:
    """The columns of the position, and its units."""
    for names, units in ((("x", "y"), "km"), (("lon", "lat"), "degrees")):
        if {*names} <= {*table.columns}:
            return names, units
    if not {"longitude", "latitude"} <= {*table.columns}:
        _refuse_missing(table, "longitude and latitude in degrees, or x and y in km")
    return ("longitude", "latitude"), "degrees"


def _extent(table: _Table, name: str) -> FloatArray:
    extent = np.nan_to_num(table.numbers(name), nan=0.0)
    if (extent < 0).any():
        line = table.lines[int(np.argmax(extent < 0))]
        raise UserError(
            f"line {line} of {table.path} has a {name} below 0: expected the extent of a box, or 0 "
            "for a point; correct the line."
        )
    return extent


def _wide(table: _Table, places: _Rows) -> Samples:
    fields: dict[Quantity, Field] = {}
    left_out = 0
    for name in [name for name in _QUANTITIES if name in table.columns]:
        quantity, kind = _QUANTITIES[name]
        if quantity in fields:
            _refuse_both(table, name, {fields[quantity].name})
        left_out += sum(cell.lower() in _MISSING for cell in table.columns[name])
        fields[quantity] = Field(name, table.numbers(name), table.numbers(f"{name}_error"), kind)
    return places.samples(np.arange(len(table.lines)), fields, left_out)


def _long(table: _Table, places: _Rows) -> Samples:
    """Samples that join values of different quantities at one place."""
    values, errors = table.numbers("value"), table.numbers("error")
    known = [_quantity(name, table, line) for line, name in _named(table)]
    sample = _sample_numbers(places, [quantity for quantity, _ in known])
    rows = np.unique(sample, return_index=True)[1]
    fields: dict[Quantity, Field] = {}
    for quantity in dict.fromkeys(quantity for quantity, _ in known):
        own = np.array([one == quantity for one, _ in known])
        kinds = {kind for one, kind in known if one == quantity}
        if len(kinds) > 1:
            raise UserError(
                f"{table.path} has {quantity} of several kinds: expected one in each file; divide "
                "the file."
            )
        value, error = np.full((2, len(rows)), np.nan)
        value[sample[own]], error[sample[own]] = values[own], errors[own]
        fields[quantity] = Field(_name(quantity, kinds), value, error, next(iter(kinds)))
    return places.samples(rows, fields, int(np.isnan(values).sum()))


def _named(table: _Table) -> list[tuple[int, str]]:
    return list(zip(table.lines, table.columns["quantity"], strict=True))


def _name(quantity: Quantity, kinds: set[str | None]) -> str:
    return next(name for name, known in _QUANTITIES.items() if known == (quantity, *kinds))


def _quantity(name: str, table: _Table, line: int) -> tuple[Quantity, str | None]:
    found = _QUANTITIES.get(name.lower())
    if found is None:
        raise UserError(
            f"line {line} of {table.path} has the quantity {shown(name)}: expected one of "
            f"{', '.join(_QUANTITIES)}{meant(name.lower(), _QUANTITIES) or '; correct the line.'}"
        )
    return found


def _sample_numbers(places: _Rows, quantities: list[Quantity]) -> NDArray[np.int64]:
    """The sample `n` that each value belongs to: repeated measurements are samples of their own."""
    columns = (places.profile, places.longitude, places.latitude, places.top, places.bottom)
    extents = (places.width, places.height)
    repeats: dict[tuple[float | str, ...], int] = defaultdict(int)
    labels = []
    for place, quantity in zip(
        zip(*(column.tolist() for column in (*columns, *extents)), strict=True),
        quantities,
        strict=True,
    ):
        labels.append((*place, repeats[(*place, quantity)]))
        repeats[(*place, quantity)] += 1
    return numbered(labels)
