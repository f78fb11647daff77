"""Means and spreads of the study of unseen members over sampling seeds."""

from __future__ import annotations

import numpy as np
import pytest

from studies.conditional.seeds import over_seeds, with_deviation
from studies.conditional.tables import conditional_table


def outcome(error, *, met, members=("a", "b")):
    """Results with one row, whose error of the mean is as given."""
    aim = {"name": "RMSE", "value": error, "worst": 0.5, "low": None, "high": 0.3, "met": met}
    row = {"rmse_temperature": error, "rmse_salinity": np.nan}
    return {
        "labels": {"guided": "guided"},
        "members": {name: {} for name in members},
        "summary": {"test": {"median": {"guided": row}, "worst": {"guided": row}}},
        "parameters": {"test": {"guided": {"gm": 0.5}}},
        "aims": {"guided_adjusted": [aim]},
    }


@pytest.fixture
def result():
    outcomes = {0: outcome(0.2, met=True), 1: outcome(0.3, met=True), 2: outcome(0.4, met=False)}
    return {**outcomes[0], "seeds": over_seeds(outcomes)}


def test_mean_and_deviation_are_over_the_seeds(result):
    path = ("summary", "test", "median", "guided", "rmse_temperature")
    assert with_deviation(result, *path) == "0.3 ± 0.1"
    assert with_deviation(result, "parameters", "test", "guided", "gm") == "0.5"
    assert with_deviation(result, "aims", "guided_adjusted", "RMSE") == "0.3 ± 0.1"
    assert with_deviation(result, "aims", "guided_adjusted", "other") is None


def test_a_table_says_with_how_many_seeds_an_aim_is_met(result):
    assert "| RMSE | 0.3 ± 0.1 | 0.5 | at most 0.3 | 2 of 3 seeds |" in conditional_table(
        result, "aims"
    )


def test_a_result_of_one_seed_has_no_spread():
    result = outcome(0.2, met=True)
    assert "| guided | 0.2 (0.2) |" in conditional_table(result, None)
    assert "| RMSE | 0.2 | 0.5 | at most 0.3 | yes |" in conditional_table(result, "aims")


def test_a_single_member_is_not_the_worst_as_well():
    result = outcome(0.2, met=True, members=("a",))
    assert "| guided | 0.2 |" in conditional_table(result, None)
