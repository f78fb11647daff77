"""Summary over members: median and worst of each column, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from evaluation.columns import Column
from evaluation.metrics.variance import FIELDS
from studies.conditional.columns import BANDS, COLUMNS, Row
from studies.conditional.rows import (
    GUIDED,
    HALVES,
    LABELS,
    NEAREST,
    PRODUCT,
    REPLICATE,
    STATISTICAL,
    TRUTH,
)

FEWEST = 4  # members, for a correlation over them
VARIED = 0.2  # relative range of the true variance, below which there is nothing to follow

Rows = Mapping[str, Row]  # of one member


@dataclass(frozen=True)
class Aim:
    """A number and the range it should lie in. worst: over members, where it is one of members."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    worst: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the value is in the range; None without a value."""
        if not np.isfinite(self.value):
            return None
        return (self.low is None or self.value >= self.low) and (
            self.high is None or self.value <= self.high
        )

    def as_dict(self) -> dict[str, Any]:
        """The aim and whether it is met, ready for JSON."""
        return asdict(self) | {"met": self.is_met}


def summarise(members: Sequence[Rows]) -> dict[str, Any]:
    """Median and worst of each column over the members, by row; correlations over members."""
    names = list(dict.fromkeys(name for rows in members for name in rows))
    by_row = {name: [rows[name] for rows in members if name in rows] for name in names}
    return {
        "members": len(members),
        "median": {name: _reduced(rows, _median) for name, rows in by_row.items()},
        "worst": {name: _reduced(rows, _worst) for name, rows in by_row.items()},
        "variance_correlation": {
            name: correlations(members, name) for name in names if len(by_row[name]) >= FEWEST
        },
    }


def correlations(members: Sequence[Rows], name: str) -> dict[str, float]:
    """Correlation over members of a row's variance with the truth's, by band and field.

    Only where the truth's varies by more than 20 %; NaN elsewhere.
    """
    found = {}
    for field, band in product(FIELDS, BANDS):
        key = f"variance_{band}_{field}"
        pairs = np.array(
            [
                (rows[name].get(key, np.nan), rows[TRUTH][key])
                for rows in members
                if name in rows and name != TRUTH
            ]
        )
        found[key] = _correlation(pairs) if len(pairs) >= FEWEST else np.nan
    return found


def aims(members: Sequence[Rows]) -> list[Aim]:
    """What is aimed at for members inside the range of the parameters.

    Values are medians over members of the product's numbers, or of their ratios to another row.
    """
    best = _best_statistical(members)
    error = "rmse_of_mean_temperature"
    found = [
        _ratio(members, error, f"RMSE of mean T / {LABELS[best]}", best, error, high=1.05),
        _ratio(members, error, "RMSE of mean T / nearest", NEAREST, "rmse_temperature", high=0.4),
        _ratio(
            members, error, "RMSE of mean T / replicate", REPLICATE, "rmse_temperature", high=1.5
        ),
    ]
    for field, band in product(FIELDS, BANDS):
        column = _column(f"variance_ratio_{band}_{field}")
        found.append(_plain(members, column, low=0.9, high=1.1))
    key = "w1_temperature_K"
    found += [
        _ratio(members, key, "W₁ of T / half to half", HALVES, key, high=1.2),
        _ratio(members, key, "W₁ of T / nearest", NEAREST, key, high=0.5),
    ]
    key = "density_error_percent"
    found += [
        _ratio(members, key, "density error, guided / truth", TRUTH, key, high=1.5, row=GUIDED),
        _plain(members, _column(key), high=0.0),
        _plain(members, _column("mixed_layer_mean_error_percent"), low=-5, high=5),
        _plain(members, _column("mixed_layer_p90_error_percent"), low=-5, high=5),
        _plain(members, _column("near_neutral_error_percent"), low=-10, high=10),
    ]
    found += [
        Aim(f"correlation of {key.replace('_', ' ')}", value, low=0.7)
        for key, value in correlations(members, PRODUCT).items()
        if np.isfinite(value)
    ]
    return found


def _best_statistical(members: Sequence[Rows]) -> str:
    """The statistical row with the smallest median error of the mean T."""
    medians = {
        name: _median([rows[name]["rmse_of_mean_temperature"] for rows in members], None)
        for name in STATISTICAL
    }
    return min(medians, key=lambda name: medians[name])


def _ratio(
    members: Sequence[Rows],
    key: str,
    name: str,
    reference: str,
    its_key: str,
    *,
    high: float,
    row: str = PRODUCT,
) -> Aim:
    ratios = [
        rows[row][key] / rows[reference][its_key] if rows[reference][its_key] > 0 else np.nan
        for rows in members
        if reference in rows
    ]
    column = Column(key, name, target=0.0)
    return Aim(name, _median(ratios, column), high=high, worst=_worst(ratios, column))


def _plain(
    members: Sequence[Rows], column: Column, *, low: float | None = None, high: float | None = None
) -> Aim:
    values = [rows[PRODUCT][column.key] for rows in members]
    return Aim(column.name, _median(values, column), low, high, _worst(values, column))


def _column(key: str) -> Column:
    return next(column for column in COLUMNS if column.key == key)


def _reduced(
    rows: Sequence[Row], reduce: Callable[[Sequence[float], Column], float]
) -> dict[str, float]:
    return {
        column.key: reduce([row[column.key] for row in rows], column)
        for column in COLUMNS
        if all(column.key in row for row in rows)
    }


def _median(values: Sequence[float], column: Column | None) -> float:
    """Median of the values that are known; NaN if none is."""
    known = np.array(values)[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _worst(values: Sequence[float], column: Column) -> float:
    """The known value furthest from the column's target; NaN if none is known."""
    known = np.array(values)[np.isfinite(values)]
    target = column.target if isinstance(column.target, float) else 0.0
    return float(known[np.abs(known - target).argmax()]) if known.size else float("nan")


def _correlation(pairs: np.ndarray) -> float:
    ours, theirs = pairs.T
    varied = np.ptp(theirs) > VARIED * theirs.mean()
    if not (varied and np.isfinite(pairs).all() and np.ptp(ours) > 0):
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])
