"""The e-folding time of level means."""

from __future__ import annotations

import numpy as np
import pytest

from studies.ensemble.approach import TIMES, Approach

YEAR = np.arange(1.0, 111.0)
WEIGHTS = np.array([0.25, 0.75])


def series(tau, *, gap=1.0, noise=0.0, seed=0):
    """Two levels of which the second has three times the gap, with white noise."""
    decay = np.exp(-YEAR / tau)[:, None] * np.array([gap, 3 * gap])
    return YEAR, 5 + decay + noise * np.random.default_rng(seed).normal(size=(110, 2))


def test_a_shared_e_folding_time_is_found():
    found = Approach.of([series(30.0), series(30.0, gap=-0.2)], WEIGHTS)
    assert found.e_folding_time == pytest.approx(30.0, rel=0.01)
    for spread in (found.resampled(), found.singly()):
        assert spread == pytest.approx((30.0, 30.0), rel=0.01)


def test_noise_widens_the_spread_around_the_time():
    members = [series(30.0, noise=0.2, seed=seed) for seed in range(8)]
    found = Approach.of(members, WEIGHTS)
    low, high = found.resampled()
    assert low < high and low <= found.e_folding_time <= high
    assert found.e_folding_time == pytest.approx(30.0, rel=0.15)
    singly = found.singly()
    assert singly[0] < low and singly[1] > high


def test_what_remains_is_the_gap_in_the_last_year():
    found = Approach.of([series(30.0), series(30.0, gap=-2.0)], WEIGHTS)
    gap = np.sqrt((1 + 4) / 2 * (0.25 * 1 + 0.75 * 9))
    assert found.remaining() == pytest.approx(gap * np.exp(-110 / 30), rel=0.05)


def test_a_steady_trend_has_no_e_folding_time_and_no_equilibrium():
    found = Approach.of([(YEAR, np.outer(YEAR, [0.01, 0.02]))], WEIGHTS)
    assert found.e_folding_time == TIMES[-1]
    assert found.remaining() is None
