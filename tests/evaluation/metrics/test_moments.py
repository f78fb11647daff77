"""Shapes of distributions that are known, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.moments import COLUMNS, moment_metrics, skewness_and_kurtosis


@pytest.fixture
def grid(tiny_grid):
    return tiny_grid(rows=10, columns=10)


def draw(grid, kind: str, *, seed: int, count: int = 400) -> torch.Tensor:
    """Independent anomalies `b z y x` on a climatology that differs between cells."""
    random = np.random.default_rng(seed)
    shape = (count, *grid.shape)
    values = random.normal(size=shape) if kind == "normal" else random.exponential(size=shape)
    climatology = 10 * np.random.default_rng(0).normal(size=grid.shape)
    return torch.from_numpy(np.where(grid.wet, climatology + values, 0.0))


def test_moments_of_a_distribution_are_those_of_scipy():
    from scipy.stats import kurtosis, skew

    values = np.random.default_rng(1).gamma(2.0, size=5000)
    ours = skewness_and_kurtosis(torch.from_numpy(values))
    assert ours.tolist() == pytest.approx([skew(values), kurtosis(values)])


def test_exponential_against_normal_anomalies(grid):
    """The exponential distribution has skewness 2 and excess kurtosis 6."""
    normal, skewed = draw(grid, "normal", seed=1), draw(grid, "exponential", seed=2)
    row = moment_metrics(State(skewed, normal), State(normal, normal), grid)
    assert row["skewness_difference_temperature"] == pytest.approx(2.0, rel=0.1)
    assert row["kurtosis_difference_temperature"] == pytest.approx(6.0, rel=0.25)
    assert row["skewness_difference_salinity"] == row["kurtosis_difference_salinity"] == 0.0


def test_a_new_sample_of_the_same_distribution_is_near_zero(grid):
    first, second = (draw(grid, "normal", seed=seed) for seed in (1, 2))
    row = moment_metrics(State(first, first), State(second, second), grid)
    assert max(row.values()) < 0.05


def test_a_bias_or_a_lost_variance_is_no_change_of_shape(grid):
    anomalies = draw(grid, "exponential", seed=3)
    climatology = anomalies.mean(dim=0)
    flatter = climatology + 0.5 * (anomalies - climatology) + 1.0
    row = moment_metrics(State(flatter, flatter), State(anomalies, anomalies), grid)
    assert max(row.values()) < 1e-6


def test_levels_count_by_their_thickness(grid):
    normal, skewed = draw(grid, "normal", seed=1), draw(grid, "exponential", seed=2)
    mixed = normal.clone()
    mixed[:, -1] = skewed[:, -1]  # 1800 of 2900 m
    row = moment_metrics(State(mixed, normal), State(normal, normal), grid)
    assert row["skewness_difference_temperature"] == pytest.approx(2 * 1800 / 2900, rel=0.1)


def test_constant_levels_are_left_out(grid):
    normal, skewed = draw(grid, "normal", seed=1), draw(grid, "exponential", seed=2)
    still = normal.clone()
    still[:, -1] = still[0, -1]
    row = moment_metrics(State(skewed, skewed), State(still, normal), grid)
    assert row["skewness_difference_temperature"] == pytest.approx(2.0, rel=0.1)


def test_land_has_no_effect(grid):
    first, second = draw(grid, "normal", seed=1), draw(grid, "exponential", seed=2)
    reference = State(second, first)
    spoiled = torch.where(torch.from_numpy(grid.wet), first, torch.nan)
    expected = moment_metrics(State(first, second), reference, grid)
    assert moment_metrics(State(spoiled, second), reference, grid) == expected


def test_keys_are_described_and_nan_without_variance(grid):
    one = draw(grid, "normal", seed=1)
    row = moment_metrics(State(one[:1], one[:1]), State(one, one), grid)
    assert list(row) == [column.key for column in COLUMNS]
    assert np.isnan(list(row.values())).all()
    still = one[:1].expand(4, -1, -1, -1)
    row = moment_metrics(State(one, one), State(still, still), grid)
    assert np.isnan(list(row.values())).all()
