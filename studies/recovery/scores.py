"""How often, and how narrowly, ranges of parameters hold the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from studies.recovery.settings import LABELS, NEAREST, SHARE

ALL = "all"
QUANTITIES = ("inside", "width", "score", "error")
Truth = Mapping[str, Any]
Values = dict[str, float | None]


def summarise(truths: Sequence[Truth], widths: Mapping[str, float]) -> dict[str, Values]:
    """By row: shares of true parameters in the range, widths and scores of ranges, errors [%].

    Each by parameter, and for all together under `ALL`. Widths, scores and errors (of medians, rms)
    are percentages of `widths`, those of the ranges of the training members. A single state has no
    range.

    The interval score (Gneiting & Raftery 2007, Journal of the American Statistical Association
    102, 359, equation 43) is the width of a range, and for a value outside 2/a times its distance
    from the range more, where a is the probability outside. It is smallest for the true quantiles.
    """
    return {name: _of_row(name, truths, widths) for name in LABELS}


def _of_row(name: str, truths: Sequence[Truth], widths: Mapping[str, float]) -> Values:
    spent = [truth["rows"][name]["cpu_seconds"] for truth in truths]
    found: Values = {"cpu_seconds": float(np.mean(spent))}
    for parameter, width in widths.items():
        values = _of_parameter(name, parameter, truths, width)
        found |= {f"{quantity}_{parameter}": value for quantity, value in values.items()}
    for quantity in QUANTITIES:
        known = [value for p in widths if (value := found[f"{quantity}_{p}"]) is not None]
        found[f"{quantity}_{ALL}"] = float(np.mean(known)) if known else None
    return found


def _of_parameter(name: str, parameter: str, truths: Sequence[Truth], width: float) -> Values:
    """Values of one parameter [%]."""
    low, median, high = (
        np.array([truth["rows"][name][bound][parameter] for truth in truths])
        for bound in ("low", "median", "high")
    )
    true = np.array([truth["true"][parameter] for truth in truths])
    error = 100 * float(np.sqrt(np.square(median - true).mean())) / width
    if name == NEAREST:
        return dict.fromkeys(QUANTITIES) | {"error": error}
    outside = (low - true).clip(0) + (true - high).clip(0)
    extent = high - low
    return {
        "inside": 100 * float((outside == 0).mean()),
        "width": 100 * float(extent.mean()) / width,
        "score": 100 * float((extent + 2 / (1 - SHARE) * outside).mean()) / width,
        "error": error,
    }
