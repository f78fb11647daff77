"""Tables of the study of unseen members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from evaluation.columns import Column, format_value
from studies.conditional.columns import DISTRIBUTION, MEAN, VARIANCE
from studies.conditional.draws import EXPECTED_ADJUSTED, PRODUCT
from studies.conditional.rows import LABELS
from studies.markdown import Result, Table, chosen, rows_markdown

COLUMNS = {"mean": MEAN, "variance": VARIANCE, "distribution": DISTRIBUTION}
GROUPS: dict[str, tuple[str, Sequence[Column]]] = {
    f"{prefix}{name}": (split, columns)
    for prefix, split in (("", "test"), ("outside_", "outside"))
    for name, columns in COLUMNS.items()
}
AIM_COLUMNS = (
    Column("value", "value"),
    Column("worst", "worst member"),
    Column("aim", "aim"),
    Column("met", "met"),
)


def conditional_table(result: Result, group: str | None) -> str:
    """Rows against unseen members: median over members, the worst in parentheses.

    group: "mean" (default), "variance" or "distribution" of the test members, the same of those
    outside the range, as "outside_mean"; "aims", "aims_expected" (states about the expected mean)
    or "parameters"
    """
    if group in OTHER:
        return OTHER[group](result)
    split, columns = chosen(GROUPS, group) or GROUPS["mean"]
    summary = result["summary"].get(split, {"median": {}, "worst": {}})
    rows = {
        LABELS[name]: {
            column.key: _cell(median.get(column.key), summary["worst"][name].get(column.key))
            for column in columns
        }
        for name in LABELS
        if (median := summary["median"].get(name)) is not None
    }
    return rows_markdown(rows, columns)


def _cell(median: float | None, worst: float | None) -> str | None:
    return f"{format_value(median)} ({format_value(worst)})" if median is not None else None


def _aims(result: Result, row: str) -> str:
    words = {True: "yes", False: "no", None: None}
    rows = {
        aim["name"]: {
            "value": aim["value"],
            "worst": aim["worst"],
            "aim": _range(aim["low"], aim["high"]),
            "met": words[aim["met"]],
        }
        for aim in result["aims"][row]
    }
    return rows_markdown(rows, AIM_COLUMNS)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {format_value(high)}" if low is None else f"at least {format_value(low)}"
    return format_value(low) if low == high else f"{format_value(low)} to {format_value(high)}"


def _parameters(result: Result) -> str:
    """Explained variance of parameters regressed from states."""
    rows = {LABELS[name]: values for name, values in result["parameters"]["test"].items()}
    names = dict.fromkeys(name for values in rows.values() for name in values)
    columns = [Column(name, f"R² of {name.replace('_', ' ')}") for name in names]
    return rows_markdown(
        {k: {n: _number(v) for n, v in r.items()} for k, r in rows.items()}, columns
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value


OTHER: dict[str, Callable[[Result], str]] = {
    "aims": partial(_aims, row=PRODUCT),
    "aims_expected": partial(_aims, row=EXPECTED_ADJUSTED),
    "parameters": _parameters,
}
TABLES: dict[str, Table] = {"conditional": conditional_table}
