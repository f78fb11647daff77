"""How often, and how narrowly, ranges of parameters hold the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from studies.recovery.settings import LABELS, NEAREST

ALL = "all"
Truth = Mapping[str, Any]
Values = dict[str, float | None]


def summarise(truths: Sequence[Truth], widths: Mapping[str, float]) -> dict[str, Values]:
    """By row: shares of true parameters in the range, widths of ranges, errors of medians [%].

    Each by parameter, and for all together under `ALL`. Widths and errors (rms) are percentages of
    `widths`, those of the ranges of the training members. A single state has no range.
    """
    return {name: _of_row(name, truths, widths) for name in LABELS}


def _of_row(name: str, truths: Sequence[Truth], widths: Mapping[str, float]) -> Values:
    found: Values = {
        "cpu_seconds": float(np.mean([t["rows"][name]["cpu_seconds"] for t in truths]))
    }
    parts = {parameter: _of_parameter(name, parameter, truths) for parameter in widths}
    for parameter, width in widths.items():
        inside, extent, square = parts[parameter]
        found[f"error_{parameter}"] = 100 * square**0.5 / width
        if name != NEAREST:
            found[f"inside_{parameter}"] = 100 * inside
            found[f"width_{parameter}"] = 100 * extent / width
    for quantity in ("inside", "width", "error"):
        values = [found.get(f"{quantity}_{parameter}") for parameter in widths]
        known = [value for value in values if value is not None]
        found[f"{quantity}_{ALL}"] = float(np.mean(known)) if known else None
    return found


def _of_parameter(name: str, parameter: str, truths: Sequence[Truth]) -> tuple[float, float, float]:
    """Share inside, mean extent of the range, and mean square error of the median."""
    low, median, high = (
        np.array([truth["rows"][name][bound][parameter] for truth in truths])
        for bound in ("low", "median", "high")
    )
    true = np.array([truth["true"][parameter] for truth in truths])
    inside = (low <= true) & (true <= high)
    return float(inside.mean()), float((high - low).mean()), float(np.square(median - true).mean())
