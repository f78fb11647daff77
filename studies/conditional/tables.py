"""Tables of the study of unseen members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from evaluation.columns import Column, format_value
from studies.conditional.columns import DISTRIBUTION, MEAN, VARIANCE
from studies.conditional.draws import EXPECTED_ADJUSTED, PRODUCT
from studies.conditional.rows import LABELS
from studies.conditional.seeds import at_mean, with_deviation
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
    summary = result["summary"].get(split, {"median": {}})
    rows = {
        label: {column.key: _cell(result, split, name, column.key) for column in columns}
        for name, label in result["labels"].items()
        if name in summary["median"]
    }
    return rows_markdown(rows, columns)


def _cell(result: Result, split: str, row: str, key: str) -> str | None:
    """The median over members, with its spread over seeds; in parentheses, the worst member.

    Of a single member there is no worst.
    """
    median = with_deviation(result, "summary", split, "median", row, key)
    if len(result["members"]) == 1:
        return median
    worst = at_mean(result, "summary", split, "worst", row, key)
    return None if median is None else f"{median} ({format_value(worst)})"


def _aims(result: Result, row: str) -> str:
    rows = {
        aim["name"]: {
            "value": with_deviation(result, "aims", row, aim["name"]),
            "worst": aim["worst"],
            "aim": _range(aim["low"], aim["high"]),
            "met": _met(result, row, aim),
        }
        for aim in result["aims"][row]
    }
    return rows_markdown(rows, AIM_COLUMNS)


def _met(result: Result, row: str, aim: Mapping[str, Any]) -> str | None:
    """Whether an aim is met, or with how many of the seeds if not with all or none."""
    seeds = result.get("seeds")
    met, count = (seeds["met"][row][aim["name"]], len(seeds["seeds"])) if seeds else (aim["met"], 1)
    return None if met is None else {0: "no", count: "yes"}.get(met, f"{met} of {count} seeds")


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {format_value(high)}" if low is None else f"at least {format_value(low)}"
    return format_value(low) if low == high else f"{format_value(low)} to {format_value(high)}"


def _parameters(result: Result) -> str:
    """Explained variance of parameters regressed from states."""
    found = result["parameters"]["test"]
    names = dict.fromkeys(name for values in found.values() for name in values)
    columns = [Column(name, f"R² of {name.replace('_', ' ')}") for name in names]
    rows = {
        LABELS[row]: {
            name: with_deviation(result, "parameters", "test", row, name) or format_value(None)
            for name in names
        }
        for row in found
    }
    return rows_markdown(rows, columns)


OTHER: dict[str, Callable[[Result], str]] = {
    "aims": partial(_aims, row=PRODUCT),
    "aims_expected": partial(_aims, row=EXPECTED_ADJUSTED),
    "parameters": _parameters,
}
TABLES: dict[str, Table] = {"conditional": conditional_table}
