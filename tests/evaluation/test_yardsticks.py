"""Excess over the floor, and what is as good as what."""

from __future__ import annotations

import pytest

from evaluation.columns import TRUTH, Column
from evaluation.metrics.catalogue import COLUMNS
from evaluation.yardsticks import (
    BASELINE,
    FLOOR,
    LEADING,
    PRODUCT,
    ROW_NAMES,
    comparisons,
    deviation,
    excess,
    findings,
    is_as_good,
)

RATIO = Column("ratio", "ratio", target=1.0)
DISTANCE = Column("distance", "distance", target=0.0)
DEPTH = Column("depth", "depth", "m", target=TRUTH)
CHANCE = Column("auc", "AUC", target=0.5)
FREE = Column("states", "states")
ROWS = {
    TRUTH: {"ratio": 1.0, "distance": 0.0, "depth": 100.0, "auc": 0.5, "states": 64},
    FLOOR: {"ratio": 1.3, "distance": 0.08, "depth": 90.0, "auc": 0.48, "states": 64},
    PRODUCT: {"ratio": 0.8, "distance": 0.1, "depth": 98.0, "auc": 0.6, "states": 64},
}


@pytest.mark.parametrize(
    ("column", "expected"),
    [(RATIO, -0.1), (DISTANCE, 0.02), (DEPTH, -0.08), (CHANCE, 0.08)],
)
def test_excess_is_the_deviation_from_the_target_beyond_that_of_the_floor(column, expected):
    assert excess(ROWS, [column])[PRODUCT][column.key] == pytest.approx(expected)


def test_what_has_no_target_or_no_value_has_no_excess():
    missing = {**ROWS, "mean": {"ratio": float("nan")}}
    found = excess(missing, [RATIO, DISTANCE, FREE])
    assert "states" not in found[PRODUCT]
    assert found["mean"] == {}
    assert excess({TRUTH: ROWS[TRUTH]}, [RATIO]) == {}
    assert deviation(ROWS, PRODUCT, FREE) is None


def test_as_good_means_within_5_percent():
    assert is_as_good(ROWS, DEPTH, name=PRODUCT, than=FLOOR)
    assert not is_as_good(ROWS, DISTANCE, name=PRODUCT, than=FLOOR)
    close = {**ROWS, PRODUCT: {"distance": 0.083, "ratio": 1.04}}
    assert is_as_good(close, DISTANCE, name=PRODUCT, than=FLOOR)
    exact = {**close, FLOOR: {"distance": 0.0, "ratio": 1.0}}
    assert is_as_good(exact, RATIO, name=PRODUCT, than=FLOOR)
    assert not is_as_good(exact, DISTANCE, name=PRODUCT, than=FLOOR)


def test_an_auc_within_chance_is_as_good():
    near = {TRUTH: {}, FLOOR: {"auc": 0.5}, PRODUCT: {"auc": 0.55}}
    assert is_as_good(near, CHANCE, name=PRODUCT, than=FLOOR)
    assert not is_as_good({**near, PRODUCT: {"auc": 0.6}}, CHANCE, name=PRODUCT, than=FLOOR)


def test_comparisons_name_floor_and_baseline():
    rows = {name: {"w1_temperature_K": 0.1} for name in (TRUTH, FLOOR, BASELINE)}
    found = comparisons({**rows, PRODUCT: {"w1_temperature_K": 0.08}})
    assert set(found) == set(LEADING)
    assert found["w1_temperature_K"] == {"as_good_as_floor": True, "as_good_as_baseline": True}
    assert found["w1_salinity"]["as_good_as_floor"] is None


def test_every_leading_metric_has_a_column_with_a_target():
    targets = {column.key: column.target for column in COLUMNS}
    assert len(set(LEADING)) == 10
    assert all(targets[key] is not None for key in LEADING)
    assert len(targets) == len(COLUMNS)  # no key twice


def test_findings_quote_floor_baseline_and_truth():
    rows = {name: {"front_ratio_surface_p90": 1.0} for name in ROW_NAMES}
    rows[PRODUCT]["front_ratio_surface_p90"] = 0.8
    rows[BASELINE]["front_ratio_surface_p90"] = 0.6
    assert findings(rows) == [
        "Fronts, surface, 90th percentile: 0.8, not as good as the training states (1), better "
        "than EOF-Gaussian adjusted (0.6)."
    ]
