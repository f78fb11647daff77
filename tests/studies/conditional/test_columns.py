"""Errors of the mean, their sampling noise, and ratios of variances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.row import EvaluationContext
from guidance.seawater import equation_of_state
from studies.conditional.columns import Truth, judge, judge_mean, profiles, sampling_noise


@pytest.fixture
def truth(tiny_grid, tiny_states) -> Truth:
    """24 states of the tiny ocean."""
    grid = tiny_grid()
    context = EvaluationContext(grid, equation_of_state("veros-vallis"))
    return Truth(tiny_states(grid, batch=24, seed=0), context)


def _warmer(states: State, wet: np.ndarray, by: float) -> State:
    return State(states.temperature + by * torch.from_numpy(wet), states.salinity)


def test_a_warmer_mean_and_doubled_anomalies_are_told_apart(truth):
    grid, mean = truth.context.grid, truth.mean
    doubled = State(2 * truth.states.temperature - mean.temperature.float(), truth.states.salinity)
    row = judge(_warmer(doubled, grid.wet, 0.5), truth)
    assert row["rmse_temperature"] == pytest.approx(0.5, abs=1e-5)
    assert np.isnan(row["rmse_of_mean_temperature"])
    assert row["rmse_salinity"] == pytest.approx(0, abs=1e-5)
    assert row["variance_ratio_surface_temperature"] == pytest.approx(4, rel=1e-4)
    assert row["variance_ratio_thermocline_temperature"] == pytest.approx(4, rel=1e-4)
    assert row["variance_ratio_deep_salinity"] == pytest.approx(1)


def test_the_truth_has_no_error(truth):
    row = judge(truth.states, truth)
    zero = ("rmse_temperature", "w1_temperature_K", "mixed_layer_mean_error_percent")
    assert [row[key] for key in zero] == pytest.approx([0, 0, 0], abs=1e-6)


def test_sampling_noise_is_what_independent_draws_have_without_the_season(truth, tiny_states):
    grid = truth.context.grid
    season = np.cos(np.pi * np.arange(64) / 2)
    states = tiny_states(grid, batch=64, seed=2)
    warmth = torch.from_numpy(season).float()[:, None, None, None] * torch.from_numpy(grid.wet)
    seasonal = State(states.temperature + 3 * warmth, states.salinity)
    course = np.stack([np.ones(64), season], axis=1)
    plain, with_season = (
        sampling_noise(s, course, grid)["temperature"] for s in (states, seasonal)
    )
    assert with_season == pytest.approx(plain, rel=1e-3)
    volume = torch.from_numpy(grid.volume)
    variance = states.temperature.double().var(dim=0)
    assert plain == pytest.approx(float((variance * volume).sum() / volume.sum()) / 64, rel=0.1)


def test_an_emulated_mean_has_no_sampling_noise(truth):
    warmer = _warmer(truth.mean.map(lambda field: field.float()), truth.context.grid.wet, 0.2)
    row = judge_mean(warmer, truth)
    assert row["rmse_of_mean_temperature"] == pytest.approx(0.2, abs=1e-5)
    assert "variance_temperature" not in profiles(warmer, truth)
    assert profiles(warmer, truth)["error_temperature"] == pytest.approx([0.2] * 5, abs=1e-5)
