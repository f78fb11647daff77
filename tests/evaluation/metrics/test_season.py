"""Seasons of states that warm and cool with a lag at depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from data.state import State
from evaluation.metrics.labels import Labels
from evaluation.metrics.season import (
    COLUMNS,
    SeasonalCycle,
    circular_w1,
    season,
    season_metrics,
)

STEP = 150 / 360  # years


def make_states(
    grid, seasons: np.ndarray, *, amplitude: float = 3.0, noise: float = 0.3, seed: int = 0
) -> State:
    """T with an annual cycle that grows northward, late by 2 months at the second level."""
    random = np.random.default_rng(seed)
    lag = np.array([0.0, 1 / 6, 1 / 6, 0.0, 0.0])[:, None, None]
    decay = np.array([1.0, 0.5, 0.1, 0.0, 0.0])[:, None, None]
    northward = np.linspace(0.2, 1.0, grid.shape[1])[:, None]
    angle = 2 * np.pi * (seasons[:, None, None, None] - lag)
    cycle = amplitude * northward * decay * np.cos(angle)
    temperature = 10.0 + cycle + noise * random.normal(size=(len(seasons), *grid.shape))
    field = torch.from_numpy(temperature).float() * torch.from_numpy(grid.wet)
    return State(field, torch.zeros_like(field))


def make_labels(time: np.ndarray, members: int = 2) -> Labels:
    return Labels(np.arange(len(time)) % members, time, time % 1)


@pytest.fixture
def time():
    """Records every 150 days, 2.4 a year."""
    return 20.0 + STEP * np.arange(48)


@pytest.fixture
def cycle(grid, time):
    return SeasonalCycle.of(make_states(grid, time % 1), make_labels(time), grid)


def test_a_record_every_150_days_defines_the_seasons_of_new_states(grid, cycle):
    seasons = np.array([0.1, 0.3, 0.55, 0.8, 0.9])
    coordinates = cycle.project(make_states(grid, seasons, seed=1), grid)
    assert season(coordinates) == pytest.approx(seasons, abs=0.04)
    assert coordinates.norm(dim=1).numpy() == pytest.approx(np.ones(5), abs=0.15)


def test_a_weak_cycle_and_missing_seasons_are_found(grid, cycle):
    whole, half = np.arange(48) / 48, np.arange(48) / 96
    same = season_metrics(make_states(grid, whole, seed=2), cycle, grid)
    assert set(same) == {column.key for column in COLUMNS}
    assert same["season_radius_ratio"] == pytest.approx(1.0, abs=0.05)
    assert same["season_distance_months"] < 0.3
    weak = season_metrics(make_states(grid, whole, amplitude=1.5, seed=2), cycle, grid)
    assert weak["season_radius_ratio"] == pytest.approx(0.5, abs=0.05)
    assert weak["season_distance_months"] < 0.4
    one_sided = season_metrics(make_states(grid, half, seed=2), cycle, grid)
    assert one_sided["season_radius_ratio"] == pytest.approx(1.0, abs=0.05)
    assert one_sided["season_distance_months"] == pytest.approx(1.5, abs=0.3)


def test_differences_between_members_are_no_seasons(grid, time):
    """Members that are recorded in different seasons, and one of them is warmer."""
    labels = make_labels(time)
    states = make_states(grid, time % 1)
    warmer = states.temperature + torch.from_numpy(4.0 * labels.member)[:, None, None, None]
    other = SeasonalCycle.of(State(warmer.float(), states.salinity), labels, grid)
    expected = SeasonalCycle.of(states, labels, grid)
    torch.testing.assert_close(other.patterns, expected.patterns, atol=1e-5, rtol=0)


def test_no_seasons_without_a_cycle_or_without_dates_all_over_the_year(grid, time):
    labels = make_labels(time)
    assert SeasonalCycle.of(make_states(grid, time % 1, amplitude=0.0), labels, grid) is None
    for dates in (np.arange(48.0), np.arange(48) / 2, 20 + 0.2 * np.arange(48) / 48):
        states = make_states(grid, dates % 1)
        assert SeasonalCycle.of(states, make_labels(dates), grid) is None
    few = make_states(grid, time[:4] % 1, amplitude=0.0)
    assert SeasonalCycle.of(few, make_labels(time[:4], members=1), grid) is None
    values = season_metrics(make_states(grid, time % 1), None, grid)
    assert np.isnan([*values.values()]).all()


def test_a_cycle_that_is_the_same_in_spring_and_autumn_has_no_season(grid, time):
    states = make_states(grid, time % 1, noise=0.0)
    states.temperature[:, 1] = states.temperature[:, 0]  # no lag at depth
    assert SeasonalCycle.of(states, make_labels(time), grid) is None


def test_one_state_has_an_amplitude_but_no_distribution(grid, cycle):
    values = season_metrics(make_states(grid, np.array([0.2])), cycle, grid)
    assert values["season_radius_ratio"] == pytest.approx(1.0, abs=0.2)
    assert np.isnan(values["season_distance_months"])


def test_land_does_not_count(grid, time):
    dry = ~torch.from_numpy(grid.wet)
    training, new = make_states(grid, time % 1), make_states(grid, time[:8] % 1, seed=1)
    labels = make_labels(time)
    expected = season_metrics(new, SeasonalCycle.of(training, labels, grid), grid)
    training, new = (x.map(lambda y: y.masked_fill(dry, torch.nan)) for x in (training, new))
    found = season_metrics(new, SeasonalCycle.of(training, labels, grid), grid)
    # Sums of arrays may be rounded in another order, which depends on their place in memory.
    assert found == pytest.approx(expected, rel=1e-12)


def test_circular_distance_is_that_of_the_best_pairing():
    random = np.random.default_rng(0)
    for _ in range(5):
        a, b = random.random(12) ** 2, random.random(12)
        apart = np.abs((a[:, None] - b + 0.5) % 1 - 0.5)
        expected = apart[linear_sum_assignment(apart)].mean()
        assert circular_w1(a, b) == pytest.approx(expected)
        assert circular_w1((a + 0.3) % 1, (b + 0.3) % 1) == pytest.approx(expected)
    assert circular_w1(np.array([0.95]), np.array([0.05])) == pytest.approx(0.1)
    assert circular_w1(np.array([0.4]), (np.arange(1000) + 0.5) / 1000) == pytest.approx(0.25)
