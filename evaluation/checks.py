"""The checks behind a verdict: what is compared with what, and how far apart both may be.

A metric of the product may lie between the truth and the training states, and beyond them by a
tolerance for the sampling noise of 64 to 128 states. Training states that are themselves far from
the truth extend this range only so far: a product that fails as they do fails because of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.columns import TRUTH
from evaluation.yardsticks import BASELINE, FLOOR, HALVES, ROW_NAMES, column_of

Rows = Mapping[str, Mapping[str, Any]]
Range = tuple[float, float | None]


@dataclass(frozen=True)
class Criterion:
    """How far the product may be from the truth and the training states in one metric.

    key: metric; low, high: the allowed range ends at these factors of the smaller and the larger
    of truth and training states; far: factor by which training states may at most differ from the
    truth to count; least: smallest distance of the upper end from the larger of both; truth: row of
    the truth's value; training: value of the training states if it is known by definition
    """

    key: str
    low: float
    high: float
    far: float
    least: float = 0.0
    truth: str = TRUTH
    training: float | None = None

    def allowed(self, truth: float, training: float) -> tuple[float, float]:
        """The allowed range, if the training states have the value `training`."""
        small, large = sorted((truth, training))
        return self.low * small, max(self.high * large, large + self.least)

    def admitted(self, truth: float, training: float) -> float:
        """The value of the training states, at most a factor of `far` from the truth."""
        return min(max(training, truth / self.far), truth * self.far)


@dataclass(frozen=True)
class Check:
    """A number that was compared with what is allowed.

    value: None if it could not be computed; reference, against: what it should be, and of what;
    allowed: lowest and highest value, None without limit; training, baseline: values of training
    states and of adjusted EOF-Gaussian states; like_the_data: it fails, but agrees with training
    states that are far from the truth
    """

    name: str
    value: float | None
    reference: float
    allowed: Range
    passed: bool
    unit: str = ""
    against: str = "truth"
    training: float | None = None
    baseline: float | None = None
    like_the_data: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The check for JSON."""
        return asdict(self) | {"allowed": list(self.allowed)}

    @property
    def used(self) -> float:
        """Share of the tolerance that the value takes beyond truth and training states.

        0 below them where smaller is better, which is where even 0 is allowed.
        """
        if self.value is None:
            return math.inf
        training = self.reference if self.training is None else self.training
        small, large = sorted((self.reference, training))
        low, high = self.allowed
        if self.value > large and high is not None:
            return _share(self.value, large, high)
        return _share(self.value, small, low) if self.value < small and low else 0.0


def _share(value: float, start: float, end: float) -> float:
    """Position of a value on the way from `start` to `end`."""
    return (value - start) / (end - start) if end != start else math.inf


def _variances(key: str, **least: float) -> list[Criterion]:
    """Criteria of T and S; key: metric with places for `of` and `field`; least: by `of`."""
    return [
        Criterion(key.format(of=of, field=field), low, 1 / low, far=2.0)
        for of, low in least.items()
        for field in ("temperature", "salinity")
    ]


OF_ONE_CLIMATE = _variances(
    "variance_ratio_{of}_{field}_training", mean=0.75, smallest=0.5, largest=0.5
)
# Members of other climates tell nothing about the variance between those that are drawn.
AT_CONDITIONS = _variances("variance_within_members_{of}_{field}", mean=0.75, largest=0.5)
# docs/guide/judging.md gives the reason for each tolerance.
CRITERIA = (
    Criterion("mixed_layer_depth_mean_m", 0.8, 1.2, far=1.25),
    Criterion("mixed_layer_depth_p90_m", 0.8, 1.2, far=1.25),
    Criterion("near_neutral_pairs_percent", 0.75, 1.25, far=4 / 3, least=0.2),
    Criterion("spectra_ratio_small_scales", 0.5, 2.0, far=2.0),
    Criterion("novelty", 0.5, 1.5, far=3.0, training=1.0),
    Criterion("copies_percent", 0.0, 1.5, far=1.0, least=10.0),
    Criterion("w1_temperature_K", 0.0, 1.5, far=10.0, least=0.05, truth=HALVES),
    Criterion("w1_salinity", 0.0, 1.5, far=10.0, least=0.005, truth=HALVES),
)
STABLE = "density_error_percent"


def checks_of_rows(rows: Rows, *, name: str, at_conditions: bool = False) -> Iterator[Check]:
    """The checks of row `name`, of all metrics that the truth has.

    at_conditions: the states are drawn at the conditions of the test states, which differ from
        those of the training states: only the variance within members is compared
    """
    yield _stable(rows, name)
    for criterion in (*CRITERIA, *(AT_CONDITIONS if at_conditions else OF_ONE_CLIMATE)):
        truth, training = _references(rows, criterion)
        if truth is not None:
            yield _check(rows, criterion, name, truth, training)


def at_least(name: str, value: float, limit: float) -> Check:
    """A check of a number that must not be smaller than `limit`."""
    return Check(name, value, limit, (limit, None), value >= limit, against="needed")


def at_most(
    name: str,
    value: float | None,
    limit: float,
    *,
    reference: float,
    unit: str = "",
    against: str = "truth",
) -> Check:
    """A check of a number that must not be larger than `limit`."""
    passed = value is not None and value <= limit
    return Check(name, value, reference, (0.0, limit), passed, unit, against)


def number(rows: Rows, row: str, key: str) -> float | None:
    """A value of a row; None if it is missing or not finite."""
    value = rows.get(row, {}).get(key)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _references(rows: Rows, criterion: Criterion) -> tuple[float | None, float | None]:
    """The values of truth and training states. A truth of a single state has no halves."""
    training = number(rows, FLOOR, criterion.key)
    training = criterion.training if training is None else training
    truth = number(rows, criterion.truth, criterion.key)
    return training if truth is None and criterion.truth == HALVES else truth, training


def _check(
    rows: Rows, criterion: Criterion, name: str, truth: float, training: float | None
) -> Check:
    value, column = number(rows, name, criterion.key), column_of(criterion.key)
    data = truth if training is None else training
    allowed = criterion.allowed(truth, criterion.admitted(truth, data))
    passed = _within(value, allowed)
    return Check(
        column.name,
        value,
        truth,
        allowed,
        passed,
        column.unit,
        against=ROW_NAMES[criterion.truth],
        training=training,
        baseline=number(rows, BASELINE, criterion.key),
        like_the_data=not passed and _within(value, criterion.allowed(truth, data)),
    )


def _within(value: float | None, allowed: tuple[float, float]) -> bool:
    return value is not None and allowed[0] <= value <= allowed[1]


def _stable(rows: Rows, name: str) -> Check:
    """Adjusted states have no density error at all, whatever the truth has."""
    column = column_of(STABLE)
    return at_most(
        column.name,
        number(rows, name, STABLE),
        0.0,
        reference=0.0,
        unit=column.unit,
        against="adjusted states",
    )
