"""Markdown tables of the equilibria predicted from the first years of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.salinity import SALINITY_UNIT
from evaluation.columns import Column, format_value
from studies.ensemble.depth_ranges import ALL_DEPTHS
from studies.markdown import Result, Table, rows_markdown
from studies.partial.rows import (
    AVERAGED,
    OURS,
    PARAMETERS_ALONE,
    REGRESSION,
    START_AND_CHANGE,
    STAYING,
)

FloatArray = NDArray[np.float64]
Members = Mapping[str, Any]  # errors of the members of a part, lists over members
TRAINING, TEST, OUTSIDE = "train", "test", "outside"
PARTS = (TEST, OUTSIDE, TRAINING)
SUMMARY = (
    Column("median", "median", "K"),
    Column("worst", "worst", "K"),
    Column("relative", "relative to parameters alone"),
    Column("years", "worth more years"),
    Column("score", "T and S, standardised, mean"),
)
SHOWN = (STAYING, PARAMETERS_ALONE, START_AND_CHANGE, REGRESSION, OURS)
GROUPS = (*PARTS, "temperature", "salinity", "members")


def partial_table(result: Result, group: str | None) -> str:
    """One table of the study.

    group: "forms" (default), "weights", or one of `GROUPS` with the years of running, as in
    "test_10"
    """
    if group in (None, "forms"):
        return _forms_table(result)
    if group == "weights":
        rows = {f"year {year}": weights for year, weights in result["weights"].items()}
        return rows_markdown(rows, [Column(row, row) for row in AVERAGED])
    name, _, year = str(group).partition("_")
    if name not in GROUPS or year not in result["errors"]:
        raise UserError(
            f"this result has no group '{group}'; its groups are forms, weights, and "
            f"{', '.join(GROUPS)} with _{', _'.join(result['errors'])}"
        )
    errors = result["errors"][year]
    if name in PARTS:
        rows = {row: parts[name] for row, parts in errors.items() if name in parts}
        alone = rows.get(PARAMETERS_ALONE, {})
        summaries = {row: _summary(members, alone) for row, members in rows.items()}
        return rows_markdown(summaries, SUMMARY) + _members(result)
    if name == "members":
        return _members_table(errors, result["parts"])
    return _depths_table(errors, "temperature_K" if name == "temperature" else name)


def all_depths(members: Members) -> FloatArray:
    """Errors of T of members [K], `m`."""
    return np.array(members["temperature_K"][ALL_DEPTHS])


def _summary(members: Members, alone: Members) -> dict[str, Any]:
    """Errors of T, what they are worth, and the score by which rows are chosen."""
    errors = all_depths(members)
    return {
        "median": float(np.median(errors)),
        "worst": float(errors.max()),
        "relative": float(np.median(errors / all_depths(alone))),
        "years": _years(sorted(zip(members["years_on"], members["reached"], strict=True))),
        "score": float(np.mean(members["standardised"])),
    }


def _years(ordered: list[tuple[float, bool]]) -> str:
    """The median of the years in order, a bound where a member does not come as near."""
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    text = format_value(round(sum(years for years, _ in middle) / len(middle)))
    return text if all(reached for _, reached in middle) else f"over {text}"


def _depths_table(errors: Mapping[str, Mapping[str, Members]], field: str) -> str:
    """Median and worst error over test members by range of depth."""
    rows = {
        row: {depths: _median_and_worst(values) for depths, values in parts[TEST][field].items()}
        for row, parts in errors.items()
        if TEST in parts
    }
    unit = "K" if field == "temperature_K" else SALINITY_UNIT
    depths = next(iter(rows.values()), {})
    return rows_markdown(rows, [Column(name, name, unit) for name in depths])


def _median_and_worst(values: list[float]) -> str:
    return f"{format_value(float(np.median(values)))} ({format_value(max(values))})"


def _members_table(
    errors: Mapping[str, Mapping[str, Members]], parts: Mapping[str, list[str]]
) -> str:
    """Errors of T of each member by a few rows, and what ours is worth."""
    rows: dict[str, dict[str, Any]] = {}
    for part, members in errors[OURS].items():
        worth = zip(members["years_on"], members["reached"], strict=True)
        for number, (name, one) in enumerate(zip(parts[part], worth, strict=True)):
            found = {row: float(all_depths(errors[row][part])[number]) for row in SHOWN}
            rows[name] = {"part": part, **found, "years": _years([one])}
    columns = [Column(row, row, "K") for row in SHOWN]
    worth_column = Column("years", "worth more years")
    return rows_markdown(rows, [Column("part", "part"), *columns, worth_column])


def _forms_table(result: Result) -> str:
    """Scores of all candidates by years of running; the chosen ones marked."""
    rows = {}
    for row, candidates in result["forms"].items():
        for name, scores in candidates.items():
            mark = " (chosen)" if name == result["chosen"][row] and len(candidates) > 1 else ""
            mean = float(np.mean(list(scores.values())))
            rows[f"{row}: {name}{mark}"] = {**scores, "mean": mean}
    years = [Column(str(year), f"year {year}") for year in result["years"]]
    return rows_markdown(rows, [*years, Column("mean", "mean")])


def _members(result: Result) -> str:
    counts = ", ".join(f"{len(names)} {part}" for part, names in result["parts"].items() if names)
    missing = ", ".join(result["missing"])
    return f"\nMembers: {counts}.{f' Not finished: {missing}.' if missing else ''}\n"


TABLES: dict[str, Table] = {"partial": partial_table}
