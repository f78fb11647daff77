"""How the results of the study vary with the sampling seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.columns import format_spread

Outcome = Mapping[str, Any]  # as `studies.conditional.outcome.Outcome.as_dict`
SHOWN = ("summary", "parameters", "aims")


def over_seeds(outcomes: Mapping[int, Outcome]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of the numbers that tables show.

    In "mean" and "deviation", aims are values by name. "met": with how many seeds an aim is met;
    None for an aim without a value.
    """
    values = [_values(one) for one in outcomes.values()]
    flags = [_by_name(one["aims"], "met") for one in outcomes.values()]
    return {
        "seeds": [*outcomes],
        "mean": _reduced(values, lambda numbers: float(np.mean(numbers))),
        "deviation": _reduced(values, lambda numbers: float(np.std(numbers, ddof=1))),
        "met": _reduced(flags, sum),
    }


def at_mean(result: Mapping[str, Any], *path: str) -> float | None:
    """The number at a path of keys of a result, its mean if there are several seeds.

    None without a number there. Aims are found by their names.
    """
    seeds = result.get("seeds")
    number: float | None = _at(seeds["mean"] if seeds else _values(result), path)
    return number


def with_deviation(result: Mapping[str, Any], *path: str) -> str | None:
    """As `at_mean`, formatted, with the standard deviation if there are several seeds."""
    number, seeds = at_mean(result, *path), result.get("seeds")
    if number is None:
        return None
    return format_spread(number, _at(seeds["deviation"], path) if seeds else None)


def _values(outcome: Outcome) -> dict[str, Any]:
    shown = {key: outcome[key] for key in SHOWN if key in outcome}
    return {**shown, "aims": _by_name(outcome.get("aims", {}), "value")}


def _by_name(aims: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> dict[str, Any]:
    return {row: {aim["name"]: aim[key] for aim in found} for row, found in aims.items()}


def _reduced(parts: Sequence[Any], reduce: Callable[[Sequence[Any]], Any]) -> Any:
    """The numbers at the same place of nested dictionaries, reduced to one."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _reduced([part[key] for part in parts], reduce) for key in first}
    return None if any(part is None for part in parts) else reduce(parts)


def _at(nested: Any, path: Sequence[str]) -> Any:
    for key in path:
        nested = nested.get(key) if isinstance(nested, Mapping) else None
    return nested
