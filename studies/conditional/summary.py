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
from studies.conditional.draws import EXPECTED, EXPECTED_ADJUSTED, GUIDED, PRODUCT
from studies.conditional.rows import (
    HALVES,
    LABELS,
    NEAREST,
    REPLICATE,
    STATISTICAL,
    TRUTH,
)

FEWEST = 4  # members, for a correlation over them
VARIED = 0.2  # relative range of the true variance, below which there is nothing to follow

# Adjusted rows that are judged, each with the row before adjustment.
JUDGED = {PRODUCT: GUIDED, EXPECTED_ADJUSTED: EXPECTED}

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


def aims(members: Sequence[Rows], row: str) -> list[Aim]:
    """What is aimed at for one of the `JUDGED` rows inside the range of the parameters.

    Values are medians over members of the row's numbers, or of their ratios to another row.
    """
    return [
        *_aims_of_mean(members, row),
        *_aims_of_variance(members, row),
        *_aims_of_distribution(members, row),
    ]


def _aims_of_mean(members: Sequence[Rows], row: str) -> list[Aim]:
    best = _best_statistical(members)
    limits = {
        f"RMSE of mean T / {LABELS[best]}": ("rmse_of_mean_temperature", best, 1.05),
        "RMSE of mean T / nearest": ("rmse_temperature", NEAREST, 0.4),
        "RMSE of mean T / replicate": ("rmse_temperature", REPLICATE, 1.5),
    }
    return [
        _ratio(
            name,
            [r[row]["rmse_of_mean_temperature"] for r in members if other in r],
            [r[other][key] for r in members if other in r],
            high=high,
        )
        for name, (key, other, high) in limits.items()
    ]


def _aims_of_variance(members: Sequence[Rows], row: str) -> list[Aim]:
    keys = [f"variance_ratio_{band}_{field}" for field, band in product(FIELDS, BANDS)]
    followed = {k: v for k, v in correlations(members, row).items() if np.isfinite(v)}
    return [
        *(_plain(members, row, key, low=0.9, high=1.1) for key in keys),
        *(
            Aim(f"correlation of {key.replace('_', ' ')}", value, low=0.7)
            for key, value in followed.items()
        ),
    ]


def _aims_of_distribution(members: Sequence[Rows], row: str) -> list[Aim]:
    w1, density, before = "w1_temperature_K", "density_error_percent", JUDGED[row]
    limits = {
        "W₁ of T / half to half": (row, w1, HALVES, 1.2),
        "W₁ of T / nearest": (row, w1, NEAREST, 0.5),
        "density error before adjustment / truth": (before, density, TRUTH, 1.5),
    }
    return [
        *(
            _ratio(
                name,
                [r[ours][key] for r in members if other in r],
                [r[other][key] for r in members if other in r],
                high=high,
            )
            for name, (ours, key, other, high) in limits.items()
        ),
        _plain(members, row, density, high=0.0),
        _plain(members, row, "mixed_layer_mean_error_percent", low=-5, high=5),
        _plain(members, row, "mixed_layer_p90_error_percent", low=-5, high=5),
        _plain(members, row, "near_neutral_error_percent", low=-10, high=10),
    ]


def _best_statistical(members: Sequence[Rows]) -> str:
    """The statistical row with the smallest median error of the mean T."""
    medians = {
        name: _median([rows[name]["rmse_of_mean_temperature"] for rows in members], None)
        for name in STATISTICAL
    }
    return min(medians, key=lambda name: medians[name])


def _ratio(name: str, ours: Sequence[float], theirs: Sequence[float], *, high: float) -> Aim:
    ratios = [a / b if b > 0 else np.nan for a, b in zip(ours, theirs, strict=True)]
    column = Column(name, name, target=0.0)
    return Aim(name, _median(ratios, column), high=high, worst=_worst(ratios, column))


def _plain(
    members: Sequence[Rows],
    row: str,
    key: str,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Aim:
    column, values = _column(key), [rows[row][key] for rows in members]
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
