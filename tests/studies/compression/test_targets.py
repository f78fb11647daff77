"""Targets: the worst of a group counts, in either direction."""

from __future__ import annotations

import math

import pytest

from studies.compression.targets import GRADIENTS, SPECTRA, TARGETS, furthest_from_1, scores

BY_KEY = {target.column.key: target for target in TARGETS}
NAN = float("nan")


@pytest.mark.parametrize(
    ("ratios", "worst"),
    [
        ([0.9, 1.05, 1.2], 1.2),
        ([0.5, 1.9], 0.5),
        ([1.1, 0.0], 0.0),
        ([None, NAN, 1.01], 1.01),
        ([None, NAN], None),
    ],
)
def test_the_worst_ratio_is_furthest_from_1_by_factor(ratios, worst):
    assert furthest_from_1(ratios) == worst


def test_a_row_is_scored_by_its_worst_values():
    ours = dict.fromkeys(SPECTRA + GRADIENTS, 1.0)
    ours |= {SPECTRA[3]: 0.7, GRADIENTS[5]: 1.3, "auc_surface": 0.8, "auc_all_levels": 0.6}
    rows = {
        "ours": ours,
        "training": {"auc_surface": 0.7, "auc_all_levels": 0.4},
        "eof_gaussian": {"auc_surface": 0.9, "auc_all_levels": 0.95},
    }
    profiles = {"temperature": [1.0, 0.9], "salinity": [NAN, 1.05]}
    found = scores("ours", rows, profiles)
    assert found == {
        "worst_variance": 0.9,
        "worst_spectrum": 0.7,
        "worst_gradient": 1.3,
        "auc_above_training": pytest.approx(0.2),
        "auc_above_eof_gaussian": pytest.approx(-0.1),
    }
    assert found.keys() == BY_KEY.keys()


def test_what_cannot_be_scored_is_missing():
    assert set(scores("ours", {"ours": {"auc_surface": None}}, {}).values()) == {None}


def test_ratios_deviate_by_their_factor():
    target = BY_KEY["worst_spectrum"]
    assert target.deviation(0.5) == pytest.approx(1.0) == target.deviation(2.0)
    assert target.deviation(1.0) == 0
    assert target.deviation(0.0) == math.inf
    assert BY_KEY["auc_above_training"].deviation(-0.2) == -0.2
