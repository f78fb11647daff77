"""What readers of observation files make: samples, and the table of observations from them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.observations import QUANTITIES, FloatArray, Observations, Places, Quantity
from data.plausibility import DEEPEST, FURTHEST_EAST, KILOGRAMS_BELOW, LIMITS

_LIMITS = {"temperature": "thetao", "salinity": "so", "sea_level": "zos"}


@dataclass(frozen=True)
class Field:
    """One quantity of samples.

    name: as the file calls it
    value: `n`, in the units of `Observations`, NaN where there is none
    error: `n`, in the same units, NaN where the file states none
    kind: of temperature or salinity as in `data.kinds`; None: as the equation of state takes it
    """

    name: str
    value: FloatArray
    error: FloatArray
    kind: str | None = None


@dataclass(frozen=True)
class Samples(Places):
    """`n` places in the water, each with some of the quantities.

    With `pressure`, top and bottom are in dbar. Positions and depths may be NaN where there is no
    value.

    left_out: number of values that the file has a place for but that are missing or flagged
    """

    fields: Mapping[Quantity, Field]
    horizontal_units: str = "degrees"
    pressure: bool = False
    left_out: int = 0


class ReadObservations(NamedTuple):
    """What a file of observations holds.

    left_out: number of its values that are missing or flagged as bad
    horizontal_units: "degrees", or "km" on a plane, of positions and extents
    """

    observations: Observations
    left_out: int
    horizontal_units: str


def numbered(labels: Iterable[Hashable]) -> NDArray[np.int64]:
    """The number `n` of each label, in the order in which they first appear."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)


def by_position(longitude: FloatArray, latitude: FloatArray) -> NDArray[np.int64]:
    """Numbers of profiles `n`: all values at one position are a profile."""
    return numbered(zip(longitude.tolist(), latitude.tolist(), strict=True))


def table_of(
    parts: Sequence[Samples], *, path: Path, errors: Mapping[Quantity, float]
) -> ReadObservations:
    """The observations of a file, by sample, from samples with depths in m.

    errors: standard deviation by quantity of values whose file states none

    Raises UserError if there is no value, one without an error, or one at no ocean's depth.
    """
    tables = [table for part in parts if (table := _table(part, path, errors)) is not None]
    if not tables:
        raise UserError(
            f"{path} has no observed value: expected at least one of {', '.join(QUANTITIES)} that "
            "is neither missing nor flagged; give another file."
        )
    left_out = sum(part.left_out for part in parts)
    return ReadObservations(Observations.joined(tables), left_out, parts[0].horizontal_units)


def _table(samples: Samples, path: Path, errors: Mapping[Quantity, float]) -> Observations | None:
    columns = [
        _columns(quantity, field, samples, path, errors)
        for quantity, field in samples.fields.items()
    ]
    rows = np.concatenate([one.pop("row") for one in columns])
    if not len(rows):
        return None
    order = np.argsort(rows, kind="stable")
    names = list(columns[0])
    return Observations(
        **{name: np.concatenate([one[name] for one in columns])[order] for name in names}
    )


def _columns(
    quantity: Quantity, field: Field, samples: Samples, path: Path, errors: Mapping[Quantity, float]
) -> dict[str, NDArray[Any]]:
    """Columns of the table for one quantity, and the `row` of each value in the samples."""
    row = np.flatnonzero(np.isfinite(field.value))
    surface = quantity == "sea_level"
    columns: dict[str, NDArray[Any]] = {
        "row": row,
        "quantity": np.full(len(row), quantity, dtype="<U11"),
        "value": field.value[row],
        "error": _errors(quantity, field, row, path, errors),
        "top": np.zeros(len(row)) if surface else samples.top[row],
        "bottom": np.zeros(len(row)) if surface else samples.bottom[row],
    }
    for name in ("longitude", "latitude", "width", "height", "profile"):
        columns[name] = getattr(samples, name)[row]
    _check_depths(columns["top"], columns["bottom"], field.name, path)
    return columns


def _errors(
    quantity: Quantity,
    field: Field,
    row: NDArray[np.int64],
    path: Path,
    errors: Mapping[Quantity, float],
) -> FloatArray:
    error = field.error[row]
    unknown = np.isnan(error)
    if unknown.any() and quantity not in errors:
        raise UserError(
            f"{path} states no error for {int(unknown.sum())} of {len(row)} values of "
            f"{field.name}: expected a standard deviation of each; add it to the file, or give a "
            f"default, as in --assimilation.errors.{quantity} 0.1"
        )
    error = np.where(unknown, errors.get(quantity, np.nan), error)
    bad = ~(np.isfinite(error) & (error > 0))
    if bad.any():
        raise UserError(
            f"{path} has an error of {error[bad][0]:g} for {field.name} at "
            f"{int(bad.sum())} of {len(row)} values: expected standard deviations above 0; correct "
            "them, or leave them out for the default."
        )
    return error


def check_samples(samples: Samples, *, path: Path) -> None:
    """Raise UserError for values without a place in the ocean, and for what sea water cannot be.

    Before a conversion, so that messages have the values and the units of the file.
    """
    for quantity, field in samples.fields.items():
        row = np.flatnonzero(np.isfinite(field.value))
        places = {"longitude": samples.longitude[row], "latitude": samples.latitude[row]}
        _check_present(places, field.name, path)
        if quantity != "sea_level":
            _check_present({"depth": samples.top[row] + samples.bottom[row]}, field.name, path)
        if samples.horizontal_units == "degrees":
            _check_on_globe(**places, name=field.name, path=path)
        _check_plausible(quantity, field, samples, path)


def _check_present(columns: Mapping[str, FloatArray], name: str, path: Path) -> None:
    for what, column in columns.items():
        missing = int((~np.isfinite(column)).sum())
        if missing:
            raise UserError(
                f"{missing} of {column.size} values of {name} in {path} have no {what}: expected a "
                "position and a depth for each; give them, or take the values out."
            )


def _check_on_globe(*, longitude: FloatArray, latitude: FloatArray, name: str, path: Path) -> None:
    bad = (np.abs(latitude) > 90) | (np.abs(longitude) > FURTHEST_EAST)
    if bad.any():
        raise UserError(
            f"{name} of {path} has a value at longitude {longitude[bad][0]:g}, latitude "
            f"{latitude[bad][0]:g}: expected degrees, latitudes from -90 to 90; correct the "
            "position, or name the columns the other way round."
        )


def _check_plausible(quantity: Quantity, field: Field, samples: Samples, path: Path) -> None:
    limits, value = LIMITS[_LIMITS[quantity]], field.value
    bad = (value < limits.lowest) | (value > limits.highest)
    if bad.any():
        first = int(np.argmax(bad))
        raise UserError(
            f"{field.name} of {path} is {value[first]:g} at longitude "
            f"{samples.longitude[first]:g}, latitude {samples.latitude[first]:g} "
            f"({int(bad.sum())} of {int(np.isfinite(value).sum())} values are such): expected "
            f"{limits.lowest:g} to {limits.highest:g} {limits.units}, what sea water can be; "
            "correct the value or its units, or declare missing values."
        )
    known = value[np.isfinite(value)]
    if quantity == "salinity" and known.size and known.max() < KILOGRAMS_BELOW:
        raise UserError(
            f"{field.name} of {path} is at most {known.max():g}: expected salinity in 1e-3 or "
            "g/kg; multiply kg/kg by 1000 and correct the units."
        )


def _check_depths(top: FloatArray, bottom: FloatArray, name: str, path: Path) -> None:
    bad = (top < 0) | (bottom < top) | (bottom > DEEPEST)
    if bad.any():
        layer = f"{top[bad][0]:g} to {bottom[bad][0]:g}"
        raise UserError(
            f"{name} of {path} has a value at depths of {layer} m: expected metres, positive down "
            f"from 0 at the surface to {DEEPEST:g}, the top of a layer first; correct the depths, "
            "their units, or their attribute `positive`."
        )
