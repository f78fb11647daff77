"""Floor and baselines: what a number of generated states is worth.

A metric against held-out states is not at its target even for states of the model itself: the
training states, as many and spread out, are the floor. Classical statistics of the training states
are the baseline. `excess` is how much further than the floor a row is from the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evaluation.columns import TRUTH, Column, format_value
from evaluation.metrics.catalogue import COLUMNS

HALVES = "truth_halves"
FLOOR = "training"
BASELINE = "eof_gaussian_adjusted"
PRODUCT = "guided_adjusted"
ROW_NAMES = {
    TRUTH: "truth",
    HALVES: "truth, half to half",
    FLOOR: "training states (floor)",
    "training_mean": "mean of training states",
    "eof_gaussian": "EOF-Gaussian",
    BASELINE: "EOF-Gaussian, adjusted",
    "autoencoded": "autoencoded",
    "unguided": "unguided",
    "guided": "guided",
    PRODUCT: "guided, adjusted",
}
# Ten metrics in which a model shows its worth, each of another kind.
LEADING = (
    "mixed_layer_depth_p90_m",
    "near_neutral_pairs_percent",
    "variance_ratio_mean_temperature_training",
    "spectra_ratio_small_scales",
    "auc_all_levels_training",
    "w1_temperature_K",
    "w1_salinity",
    "mixed_layer_depth_mean_m",
    "variance_pattern_mean_temperature_training",
    "novelty",
)
# What no check of the verdict decides, but what distinguishes generated states from true ones.
TELLING = (
    "auc_surface",
    "auc_all_levels_training",
    "variance_pattern_mean_temperature_training",
    "front_ratio_surface_p90",
    "power_ratio_thermocline_third_2",
)
AS_GOOD = 0.05  # of the target; of the floor where the target is 0
CHANCE = 0.5
OF_CHANCE = 0.06  # by which the AUC of equal distributions differs from 0.5
# Trivial for training states themselves, which are copies of training states.
NOT_OF_THE_FLOOR = ("novelty", "copies_percent")

Metrics = Mapping[str, float]
Rows = Mapping[str, Metrics]


def excess(rows: Rows, columns: Sequence[Column] = COLUMNS) -> dict[str, dict[str, float]]:
    """Deviation of each row from the target minus that of the floor, by row and column.

    Negative values are nearer to the target than the training states. Columns without a target and
    missing values are left out.
    """
    if FLOOR not in rows:
        return {}
    return {
        name: {
            column.key: ours - floor
            for column in columns
            if (ours := deviation(rows, name, column)) is not None
            and (floor := deviation(rows, FLOOR, column)) is not None
        }
        for name in rows
        if name != FLOOR
    }


def deviation(rows: Rows, name: str, column: Column) -> float | None:
    """Distance of a row's value from the target; None without a value or a target.

    Relative to the target, except for a target of 0 or of 0.5, a probability.
    """
    target = rows[TRUTH].get(column.key) if column.target == TRUTH else column.target
    value = rows.get(name, {}).get(column.key)
    if not (isinstance(target, int | float) and value is not None):
        return None
    if not (math.isfinite(target) and math.isfinite(value)):
        return None
    return abs(value - target) / (abs(target) if target not in (0, CHANCE) else 1.0)


def is_as_good(rows: Rows, column: Column, *, name: str, than: str) -> bool | None:
    """Whether row `name` is about as near to the target as another; None if unknown.

    About is 5 %: within 5 % of the target (0.06 of a probability of 0.5), or no more than 5 %
    further from it than the other.
    """
    ours, theirs = (deviation(rows, row, column) for row in (name, than))
    if ours is None or theirs is None:
        return None
    return ours <= max((1 + AS_GOOD) * theirs, _margin(column))


def _margin(column: Column) -> float:
    """Deviation from the target that counts as none."""
    if column.target == CHANCE:
        return OF_CHANCE
    return 0.0 if column.target == 0 else AS_GOOD


def comparisons(rows: Rows, *, name: str = PRODUCT) -> dict[str, dict[str, bool | None]]:
    """Whether a row is as good as floor and baseline, in each of the leading metrics."""
    return {
        key: {
            "as_good_as_floor": is_as_good(rows, column_of(key), name=name, than=FLOOR),
            "as_good_as_baseline": is_as_good(rows, column_of(key), name=name, than=BASELINE),
        }
        for key in LEADING
    }


def findings(rows: Rows, *, name: str = PRODUCT) -> list[str]:
    """One sentence for each metric of `TELLING`: value, floor, baseline, and which is better."""
    return [text for key in TELLING if (text := _finding(rows, column_of(key), name))]


def column_of(key: str) -> Column:
    """The column of a metric."""
    return next(column for column in COLUMNS if column.key == key)


def _finding(rows: Rows, column: Column, name: str) -> str | None:
    good = is_as_good(rows, column, name=name, than=FLOOR)
    if good is None:
        return None
    floor, value = (_quoted(rows, row, column) for row in (FLOOR, name))
    rank = "as good as the training states" if good else "not as good as the training states"
    sentence = f"{capitalised(column.name)}: {value}, {rank} ({floor})"
    beaten = is_as_good(rows, column, name=BASELINE, than=name)
    if beaten is not None:
        rank = "no better than" if beaten else "better than"
        sentence += f", {rank} EOF-Gaussian adjusted ({_quoted(rows, BASELINE, column)})"
    if column.target == TRUTH:
        sentence += f"; truth: {_quoted(rows, TRUTH, column)}"
    return sentence + "."


def _quoted(rows: Rows, name: str, column: Column) -> str:
    value = format_value(rows[name].get(column.key))
    return f"{value} {column.unit}" if column.unit else value


def capitalised(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[0].upper() + text[1:]
