"""What the product of a run is held against on the pages of results: aims, floor and baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from evaluation.columns import TRUTH, Column, format_value
from evaluation.metrics.catalogue import COLUMNS
from evaluation.metrics.fronts import PERCENTILES
from evaluation.yardsticks import BASELINE, FLOOR, HALVES, PRODUCT
from studies.markdown import Result, rows_markdown

EOF_GAUSSIAN = "eof_gaussian"
AIMS = (
    Column("value", "measured"),
    Column("required", "required"),
    Column("halves", "truth, half to half"),
    Column("floor", "training states"),
    Column("baseline", "EOF-Gaussian, adjusted"),
    Column("reached", "reached"),
)

Rows = Mapping[str, Mapping[str, float | None]]
Bounds = tuple[float | None, float | None]  # lowest and highest value that are good enough


class Goal(NamedTuple):
    """A metric of the product, or of another `row`, and the bounds that follow from all rows."""

    key: str
    bounds: Callable[[Rows, str], Bounds]
    row: str = PRODUCT


def _between(low: float, high: float) -> Callable[[Rows, str], Bounds]:
    return lambda rows, key: (low, high)


def _near_truth(share: float) -> Callable[[Rows, str], Bounds]:
    """Within a share of the truth's value."""

    def bounds(rows: Rows, key: str) -> Bounds:
        truth = rows[TRUTH].get(key)
        return (None, None) if truth is None else ((1 - share) * truth, (1 + share) * truth)

    return bounds


def _as_training(rows: Rows, key: str) -> Bounds:
    """A twentieth above the training states at most, and not above EOF-Gaussian states."""
    return None, _least(_times(1.05, rows[FLOOR].get(key)), rows[BASELINE].get(key))


def _half_more_than_truth(rows: Rows, key: str) -> Bounds:
    return None, _times(1.5, rows[TRUTH].get(key))


def _told(
    most: float | None, *, above_floor: float | None, below_baseline: float
) -> Callable[[Rows, str], Bounds]:
    """The AUC at most: itself, above the training states', and compared with EOF-Gaussian's."""

    def bounds(rows: Rows, key: str) -> Bounds:
        floor, baseline = rows[FLOOR].get(key), rows[EOF_GAUSSIAN].get(key)
        allowed = None if floor is None or above_floor is None else floor + above_floor
        return None, _least(most, allowed, None if baseline is None else baseline - below_baseline)

    return bounds


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _least(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _of_levels(low: float, high: float) -> list[Goal]:
    """Variance of T and S at the levels where it is smallest and largest."""
    return [
        Goal(f"variance_ratio_{end}_{field}_training", _between(low, high))
        for field in ("temperature", "salinity")
        for end in ("smallest", "largest")
    ]


def _of_a_climate(*, near_neutral: float) -> list[Goal]:
    """Of an ocean without eddies; near_neutral: allowed share of the truth's near-neutral pairs."""
    return [
        Goal("w1_temperature_K", _as_training),
        Goal("w1_salinity", _as_training),
        *_of_levels(0.95, 1.05),
        Goal("spectra_ratio_small_scales", _between(0.9, 1.15)),
        Goal("novelty", _between(0.95, 1.1)),
        Goal("mixed_layer_depth_mean_m", _near_truth(0.05)),
        Goal("mixed_layer_depth_p90_m", _near_truth(0.05)),
        Goal("near_neutral_pairs_percent", _near_truth(near_neutral)),
        Goal("density_error_percent", _half_more_than_truth, row="guided"),
        Goal("auc_surface_training", _between(0, 0.55)),
        Goal("auc_all_levels_training", _told(0.58, above_floor=None, below_baseline=0.1)),
    ]


def _of_eddies() -> list[Goal]:
    told = _told(None, above_floor=0.1, below_baseline=0.2)
    return [
        *_of_levels(0.95, 1.05),
        *(
            Goal(f"power_ratio_{place}_third_{third}", _between(0.9, 1.1))
            for place in ("surface", "thermocline")
            for third in (1, 2, 3)
        ),
        *(
            Goal(f"front_ratio_{place}_p{percentile}", _between(0.9, 1.1))
            for place in ("surface", "subsurface")
            for percentile in PERCENTILES
        ),
        Goal("auc_surface", told),
        Goal("auc_all_levels", told),
    ]


GOALS: Mapping[str, Sequence[Goal]] = {
    "aims_basin": _of_a_climate(near_neutral=0.1),
    "aims_world": _of_a_climate(near_neutral=0.2),
    "aims_eddies": _of_eddies(),
}


def aims_table(result: Result, group: str) -> str:
    """The goals of a group of `GOALS`, each beside training states and EOF-Gaussian states.

    Of the product the median over its sampling seeds counts.
    """
    return rows_markdown(dict(_aims(result, GOALS[group])), AIMS)


def _aims(result: Result, goals: Sequence[Goal]) -> list[tuple[str, dict[str, Any]]]:
    rows, found = result["rows"], []
    columns = {column.key: column for column in COLUMNS}
    for goal in goals:
        value = _median(result, goal)
        if value is None:
            continue
        low, high = goal.bounds(rows, goal.key)
        reached = (low is None or value >= low) and (high is None or value <= high)
        # Adjusted states have no density error.
        baseline = BASELINE if goal.row == PRODUCT else EOF_GAUSSIAN
        column = columns[goal.key]
        title = f"{column.name} [{column.unit}]" if column.unit else column.name
        aim = {
            "value": value,
            "required": _words(low, high),
            "halves": rows.get(HALVES, {}).get(goal.key),
            "floor": rows[FLOOR].get(goal.key),
            "baseline": rows[baseline].get(goal.key),
            "reached": "yes" if reached else "no",
        }
        found.append((title if goal.row == PRODUCT else f"{title}, {goal.row}", aim))
    return found


def _median(result: Result, goal: Goal) -> float | None:
    seeds = result.get("seeds")
    if goal.row == PRODUCT and seeds:
        values = [value for value in seeds["values"].get(goal.key, []) if value is not None]
        return float(np.median(values)) if values else None
    value: float | None = result["rows"][goal.row].get(goal.key)
    return value


def _words(low: float | None, high: float | None) -> str:
    if low is None or low == 0:
        return f"at most {format_value(high)}"
    return f"{format_value(low)} to {format_value(high)}"
