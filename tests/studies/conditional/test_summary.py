"""Median and worst over members, and aims."""

from __future__ import annotations

import numpy as np
import pytest

from studies.conditional.columns import COLUMNS
from studies.conditional.draws import GUIDED, PRODUCT
from studies.conditional.rows import NEAREST, STATISTICAL, TRUTH
from studies.conditional.summary import Aim, aims, correlations, summarise

KEYS = {column.key: 1.0 for column in COLUMNS}


def _member(error: float, density: float, variance: float) -> dict[str, dict[str, float]]:
    bands = {f"variance_{b}_{f}": 1.0 for b in ("surface", "thermocline", "deep")
             for f in ("temperature", "salinity")}  # fmt: skip
    ours = KEYS | bands | {
        "rmse_of_mean_temperature": error,
        "density_error_percent": density,
        "variance_ratio_deep_temperature": variance,
        "variance_surface_temperature": variance,
    }  # fmt: skip
    others = {name: KEYS | bands | {"rmse_of_mean_temperature": 0.1} for name in STATISTICAL}
    truth = KEYS | bands | {"variance_surface_temperature": 2 * variance}
    return {TRUTH: truth, NEAREST: KEYS | bands, GUIDED: ours, PRODUCT: ours, **others}


MEMBERS = [_member(0.1, 0.0, 0.5), _member(0.2, 0.0, 1.2), _member(0.3, 1.0, 0.9)]


def test_the_worst_is_furthest_from_the_target():
    found = summarise(MEMBERS)
    assert found["median"][PRODUCT]["rmse_of_mean_temperature"] == 0.2
    assert found["worst"][PRODUCT]["rmse_of_mean_temperature"] == 0.3
    assert found["worst"][PRODUCT]["variance_ratio_deep_temperature"] == 0.5
    assert found["variance_correlation"] == {}  # of three members


def test_variance_is_correlated_over_four_members_where_it_varies():
    found = correlations([*MEMBERS, _member(0.1, 0.0, 0.7)], PRODUCT)
    assert found["variance_surface_temperature"] == pytest.approx(1)
    assert np.isnan(found["variance_deep_temperature"])


def test_aims_are_medians_of_ratios_member_by_member():
    found = {aim.name: aim for aim in aims(MEMBERS, PRODUCT)}
    nearest = found["RMSE of mean T / nearest"]
    assert (nearest.value, nearest.worst, nearest.is_met) == (0.2, 0.3, True)
    best = next(aim for name, aim in found.items() if name.endswith("mean of neighbours"))
    assert best.value == pytest.approx(2) and best.is_met is False
    assert found["RMSE of mean T / replicate"].is_met is None  # no member has one
    assert found["density error"].is_met and found["density error"].worst == 1


@pytest.mark.parametrize(
    ("value", "met"), [(0.89, False), (0.9, True), (1.1, True), (1.2, False), (np.nan, None)]
)
def test_an_aim_is_met_inside_its_range(value, met):
    assert Aim("width", value, 0.9, 1.1).is_met is met
