"""How a file counts time: model years of its samples, and dates held against another file's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError

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
# Times without units that exceed these are not in days [years].
_LONGEST_RUN, _LONGEST_INTERVAL = 1e5, 100.0
_SAME_CALENDAR = {"noleap": "365_day", "gregorian": "standard", "none": "standard"}


@dataclass(frozen=True)
class Clock:
    """Units of time and calendar of a file.

    reference: the date that the units count from, if they have one
    assumed: whether the file does not state the units
    """

    units: str
    reference: str | None
    calendar: str
    assumed: bool = False

    @property
    def days_per_year(self) -> float:
        """Length of the calendar's year [days]."""
        return _DAYS_PER_YEAR.get(self.calendar, 365.25)

    def years_until(self, other: Clock) -> float | None:
        """Model years from this clock's reference date to the other's.

        None where they cannot be compared: other calendars, or a date on one of them only.
        """
        if self.calendar != other.calendar:
            return None
        if self.reference == other.reference:
            return 0.0
        try:
            ours, theirs = (f"days since {clock.reference}" for clock in (self, other))
            date = netCDF4.num2date(np.zeros(1), theirs, self.calendar, has_year_zero=True)
            days = np.ravel(netCDF4.date2num(date, ours, self.calendar, has_year_zero=True))[0]
            return float(days) / self.days_per_year
        except (ValueError, TypeError):
            return None

    def date(self, years: float) -> str | None:
        """The date `years` after the reference date, YYYY-MM-DD; None where that is not known."""
        days = np.array([round(years * self.days_per_year, 3)])
        try:
            found: Any = netCDF4.num2date(
                days, f"days since {self.reference}", self.calendar, has_year_zero=True
            )
        except (ValueError, TypeError, OverflowError):
            return None
        date = np.ravel(found)[0]
        return f"{date.year:04d}-{date.month:02d}-{date.day:02d}"

    @property
    def has_dates(self) -> bool:
        """Whether the reference is a date of the calendar."""
        return self.date(0.0) is not None

    def __str__(self) -> str:
        return f"{self.units} {self.calendar}"


def sample_times(
    dataset: xr.Dataset,
    temperature: xr.DataArray,
    path: Path,
    default_calendar: str | None,
    default_units: str | None = None,
) -> tuple[NDArray[np.float64], Clock | None]:
    """Model time of each sample [years] and the file's clock; sample numbers if it has no time.

    temperature: `time z y x`; default_units: of times whose units the file does not state, days if
    they are not given

    Raises UserError for times that are missing or in unknown units, and for times that no run has
    where days are only assumed.
    """
    variable = _time_variable(dataset, temperature)
    if variable is None:
        return np.arange(len(temperature), dtype=np.float64), None
    stated = str(variable.attrs.get("units", "")).strip()
    units = stated or default_units or "days"
    unit, _, reference = units.lower().partition(" since ")
    calendar = str(variable.attrs.get("calendar", default_calendar)).lower()
    calendar = _SAME_CALENDAR.get(calendar, calendar)
    assumed = not (stated or default_units)
    clock = Clock(units, reference.strip() or None, calendar, assumed=assumed)
    values = np.asarray(variable.values).reshape(-1)  # 0-d for a single state
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UserError(
            f"{variable.name} of {path} has values that are no numbers, such as "
            f"{_not_a_number(values)}: expected the time of each state; correct the file."
        )
    years = _in_years(values, unit, clock, str(variable.name), path)
    if assumed:
        _check_days(years, values, str(variable.name), path)
    return years, clock


def _check_days(years: NDArray[np.float64], values: NDArray[Any], name: str, path: Path) -> None:
    """Raise UserError where days, which are only assumed, make years that no run has."""
    steps = np.diff(np.sort(years))
    interval = float(np.median(steps)) if steps.size else 0.0
    if np.abs(years).max() > _LONGEST_RUN or interval > _LONGEST_INTERVAL:
        raise UserError(
            f"{name} of {path} has no units, and {values.min():g} to {values.max():g} days "
            f"would be the years {years.min():.4g} to {years.max():.4g}: expected the times of a "
            "run; set data.ingest.time_units, such as seconds, or the attribute units of the file."
        )


def _time_variable(dataset: xr.Dataset, temperature: xr.DataArray) -> xr.DataArray | None:
    """The coordinate of the time axis, else another time of each sample."""
    axis = str(temperature.dims[0])
    if axis in dataset.variables:
        return dataset[axis]
    dims = (axis,) if axis in dataset.dims else ()
    times = sorted(
        (
            str(name)
            for name, variable in dataset.variables.items()
            if variable.dims == dims and _tells_time(str(name), variable)
        ),
        key=len,  # `time` before `time_centered`
    )
    return dataset[times[0]] if times else None


def _tells_time(name: str, variable: xr.Variable) -> bool:
    return (
        name.lower().startswith("time")
        or variable.attrs.get("standard_name") == "time"
        or " since " in str(variable.attrs.get("units"))
    )


def _not_a_number(values: NDArray[Any]) -> str:
    wrong = values if values.dtype.kind not in "fiu" else values[~np.isfinite(values)]
    return str(wrong[0])


def _in_years(
    values: NDArray[Any], unit: str, clock: Clock, name: str, path: Path
) -> NDArray[np.float64]:
    unit, times = unit.strip(), values.astype(np.float64)
    if unit in _YEARS_PER_UNIT:
        return times * _YEARS_PER_UNIT[unit]
    if unit not in _DAYS_PER_UNIT:
        raise UserError(
            f'{name} of {path} has the units "{clock.units}": expected seconds, minutes, hours, '
            "days, months or years since a date; correct the attribute."
        )
    return times * _DAYS_PER_UNIT[unit] / clock.days_per_year
