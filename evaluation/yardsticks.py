"""Floor and baselines: what a number of generated states is worth.

A metric against held-out states is not at its target even for states of the model itself: the
training states, as many and spread out, are the floor. Classical statistics of the training states
are the baseline. `excess` is how much further than the floor a row is from the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evaluation.columns import TRUTH, Column

FLOOR = "training"
BASELINE = "eof_gaussian_adjusted"
PRODUCT = "guided_adjusted"
ROW_NAMES = {
    TRUTH: "truth",
    "truth_halves": "truth, half to half",
    FLOOR: "training states (floor)",
    "training_mean": "mean of training states",
    "eof_gaussian": "EOF-Gaussian",
    BASELINE: "EOF-Gaussian, adjusted",
    "autoencoded": "autoencoded",
    "unguided": "unguided",
    "guided": "guided",
    PRODUCT: "guided, adjusted",
}
AS_GOOD = 0.05  # of the target, or of the floor where the target is 0

Metrics = Mapping[str, float]


def excess(rows: Mapping[str, Metrics], columns: Sequence[Column]) -> dict[str, dict[str, float]]:
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


def deviation(rows: Mapping[str, Metrics], name: str, column: Column) -> float | None:
    """Distance of a row's value from the target; None without a value or a target.

    Relative to the target, except for a target of 0 or a probability (0.5).
    """
    target = rows[TRUTH].get(column.key) if column.target == TRUTH else column.target
    value = rows[name].get(column.key)
    if target is None or value is None or not (math.isfinite(target) and math.isfinite(value)):
        return None
    scale = abs(target) if target and column.target != 0.5 else 1.0
    return abs(value - target) / scale


def is_as_good(rows: Mapping[str, Metrics], name: str, column: Column, *, than: str) -> bool | None:
    """Whether a row is about as near to the target as another, within 5 %; None if unknown."""
    ours, theirs = (deviation(rows, row, column) for row in (name, than))
    if ours is None or theirs is None:
        return None
    margin = AS_GOOD if column.target not in (0.0, 0.5) else 0.0
    return ours <= max((1 + AS_GOOD) * theirs, margin)
