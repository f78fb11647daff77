"""Variance by level and its pattern, for ensembles whose variance is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.variance import (
    COLUMNS,
    pattern_profiles,
    variance_metrics,
    variance_profiles,
)
from evaluation.metrics.weights import level_thickness


@pytest.fixture
def states(grid, tiny_states):
    return tiny_states(grid, batch=24, seed=0)


def scaled(states: State, factors: list[float]) -> State:
    """Anomalies of each level multiplied by its factor."""
    by_level = torch.tensor(factors)[:, None, None]
    return states.map(lambda x: x.mean(dim=0) + by_level * (x - x.mean(dim=0)))


def test_scaled_anomalies_scale_the_variance_of_their_level(grid, states):
    factors = [1.0, 0.5, 1.0, 2.0, 1.0]
    profiles = variance_profiles(scaled(states, factors), states, grid)
    for profile in profiles.values():
        assert profile == pytest.approx(np.square(factors), rel=1e-3)
    metrics = variance_metrics(scaled(states, factors), states, grid, suffix="")
    mean = np.average(np.square(factors), weights=level_thickness(grid).numpy())
    assert metrics["variance_ratio_mean_temperature"] == pytest.approx(mean, rel=1e-3)
    assert metrics["variance_ratio_smallest_temperature"] == pytest.approx(0.25, rel=1e-3)
    assert metrics["variance_ratio_largest_salinity"] == pytest.approx(4.0, rel=1e-3)
    assert metrics["variance_pattern_mean_salinity"] == pytest.approx(1.0, abs=1e-6)


def test_variance_in_the_wrong_place_keeps_the_ratio_and_loses_the_pattern(grid):
    wet = torch.from_numpy(grid.wet[0])
    rows = grid.shape[1]
    northward = torch.arange(rows)[:, None] * wet  # row 0 is land
    southward = (rows - torch.arange(rows))[:, None] * wet
    noise = torch.randn(200, *grid.shape, generator=torch.Generator().manual_seed(1))
    states = State(northward * noise, northward * noise)
    mirrored = State(southward * noise, northward * noise)
    metrics = variance_metrics(mirrored, states, grid, suffix="")
    assert 0.7 < metrics["variance_ratio_surface_temperature"] < 1.3
    assert metrics["variance_pattern_surface_temperature"] < -0.7
    assert metrics["variance_pattern_surface_salinity"] == pytest.approx(1.0)


def test_land_does_not_count(grid, states):
    dry = ~torch.from_numpy(grid.wet)
    filled = states.map(lambda x: x.masked_fill(dry, torch.nan))
    noise = states.map(lambda x: torch.where(dry, torch.randn_like(x), x))
    expected = variance_metrics(scaled(states, [0.5] * 5), states, grid, suffix="")
    for reference in (filled, noise):
        found = variance_metrics(scaled(reference, [0.5] * 5), reference, grid, suffix="")
        assert found == pytest.approx(expected)


def test_nothing_is_said_of_one_state_a_constant_or_levels_without_ocean(grid, states):
    one = states.map(lambda x: x[:1])
    assert np.isnan([*variance_metrics(one, states, grid, suffix="").values()]).all()
    constant = states.map(lambda x: x[:1].expand_as(x))
    assert np.isnan([*variance_metrics(states, constant, grid, suffix="").values()]).all()
    grid.wet[-1] = False
    for profiles in (variance_profiles, pattern_profiles):
        profile = profiles(scaled(states, [0.5] * 5), states, grid)["temperature"]
        assert np.isnan(profile[-1]) and np.isfinite(profile[:-1]).all()
    metrics = variance_metrics(scaled(states, [0.5] * 5), states, grid, suffix="")
    assert metrics["variance_ratio_mean_temperature"] == pytest.approx(0.25, rel=1e-3)


def test_every_key_has_a_column(grid, states):
    keys = [
        key for s in ("", "_training") for key in variance_metrics(states, states, grid, suffix=s)
    ]
    assert sorted(keys) == sorted(column.key for column in COLUMNS)
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
