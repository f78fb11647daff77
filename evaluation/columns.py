"""Names, units and descriptions of quantities, for tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal

import numpy as np

from data.salinity import Salinity

Value = float | int | str | None
ROUNDING = 1e-12  # of a value, in double precision


TRUTH: Literal["truth"] = "truth"
Target = float | Literal["truth"] | None


@dataclass(frozen=True)
class Column:
    """A quantity in a table: key of its values, name, unit and description.

    target: the ideal value, "truth" for that of the held-out states; None if no value is better
    """

    key: str
    name: str
    unit: str = ""
    meaning: str = ""
    target: Target = None


def in_units_of(salinity: Salinity, columns: Sequence[Column]) -> list[Column]:
    """The columns with the unit of this kind of salinity."""
    return [replace(column, unit=salinity.unit_in(column.unit)) for column in columns]


def format_value(value: Value) -> str:
    """A value with three significant figures; a dash if it is missing.

    From 1000 on all digits before the point, and from ten million on a power of ten: a table with
    numbers of 12 digits, as of a model that is hardly trained, does not fit onto paper.
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, str):
        return escape(value)
    whole = isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6)
    long = isinstance(value, float) and abs(value) >= 1e7
    text = f"{value:.0f}" if (whole or abs(value) >= 1000) and not long else f"{value:.3g}"
    return text.replace("-", "−")


def format_spread(mean: float | None, deviation: float | None) -> str:
    """A mean and its standard deviation, with one significant figure, unless it is 0 or missing.

    The deviation of equal values is rounding, and left out.
    """
    if mean is None or np.isnan(mean) or not deviation or np.isnan(deviation):
        return format_value(mean)
    if deviation <= ROUNDING * abs(mean):
        return format_value(mean)
    shown = np.format_float_positional(deviation, precision=1, fractional=False, trim="-")
    return f"{format_value(mean)} ± {shown}"


def table_head(columns: Sequence[Column]) -> list[str]:
    """Header of a Markdown table: an unnamed column, then the columns with their units."""
    heads = [f"{c.name} [{c.unit}]" if c.unit else c.name for c in columns]
    return [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
