"""Drift, its rates, when a run has settled, and how far it is from the truth's."""

from __future__ import annotations

import numpy as np
import pytest

from integration.drift import Criterion, annual, distance, level_drift, overlap, rates, spread
from integration.member_run import MemberRun

MONTHS = np.arange(0, 20 * 12 + 1) / 12


def make_run(temperature, *, label: str = "truth", years: float = 20.0) -> MemberRun:
    """Two levels of 100 and 300 m and a dry one; T of the upper ones as a function of the year."""
    time = MONTHS[years + 1e-9 >= MONTHS]
    column = temperature(time)
    values = np.stack([column, column, 0 * column], axis=1)
    return MemberRun(
        label=label,
        index=0,
        time=time,
        temperature=values,
        salinity=values,
        series={},
        level_volume=np.array([1.0, 3.0, 0.0]),
        depth=np.array([50.0, 250.0, 600.0]),
        thickness=np.array([100.0, 300.0, 400.0]),
        blow_up_year=None,
    )


def season(time):
    return 3 * np.sin(2 * np.pi * time)


def settles_in(year: float):
    """Falls by 0.1 a year until `year`, then stays."""
    return lambda time: -0.1 * np.minimum(time, year)


def test_annual_means_take_each_record_once_and_leave_the_start_out():
    means = annual(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]), np.arange(6.0))
    np.testing.assert_allclose(means, [1.5, 3.5])
    assert annual(np.array([0.0, 0.5]), np.zeros((2, 3))).shape == (0, 3)


def test_a_season_is_no_drift():
    run = make_run(season)
    np.testing.assert_allclose(level_drift(run, "temperature"), 0, atol=1e-12)
    np.testing.assert_allclose(rates(run, "temperature"), 0, atol=1e-12)


def test_drift_counts_after_the_first_year():
    run = make_run(lambda time: season(time) + 0.1 * time)
    np.testing.assert_allclose(level_drift(run, "temperature")[:2], 1.8)  # year 2 to year 20
    np.testing.assert_allclose(rates(run, "temperature"), 0.1)
    assert len(rates(run, "temperature", window=5)) == 15
    assert np.isnan(level_drift(make_run(season, years=2.0), "temperature")).all()


def test_a_run_has_settled_when_it_changes_no_faster_than_the_truth():
    truth = make_run(lambda time: 0.001 * time)
    criterion = Criterion.of_truth([truth])
    assert criterion.limits["temperature"] == pytest.approx(0.001)
    slower = make_run(lambda time: 0.0009 * time)
    assert criterion.years_of(slower) == 1.0
    assert criterion.years_of(make_run(settles_in(6.0))) == 6.0
    assert criterion.years_of(make_run(lambda time: 0.02 * time)) is None
    assert criterion.years_of(make_run(settles_in(0.0), years=9.0)) is None
    assert not criterion.applies_to(make_run(settles_in(0.0), years=9.0))


def test_no_limits_without_long_runs_of_the_truth():
    criterion = Criterion.of_truth([make_run(season, years=5.0)])
    assert not criterion.known
    assert criterion.years_of(make_run(season)) is None


def test_distance_is_of_level_means_weighted_by_thickness():
    one, other = make_run(season), make_run(lambda time: season(time) + 0.5, years=3.0)
    np.testing.assert_allclose(distance(one, other, "temperature"), [0.5] * 3)


def test_ranges():
    assert spread([np.nan]) is None
    found = spread([1.0, np.nan, 3.0])
    assert found["mean"] == 2.0 and found["low"] == pytest.approx(1.1)
    assert overlap({"low": 0, "high": 1}, {"low": 1, "high": 2})
    assert not overlap({"low": 0, "high": 1}, {"low": 1.5, "high": 2})
