"""Buoyancy frequencies that follow from a linear equation of state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.stratification import COLUMNS, stratification_metrics, w1_interfaces
from guidance.seawater import GRAVITY, equation_of_state
from guidance.stratification import REFERENCE_DENSITY

KEY = "w1_stratification_1e_minus_5_per_s2"
EOS = equation_of_state("linear")


def profile(grid, temperature: list[float], *, count: int = 2) -> State:
    wet = torch.from_numpy(grid.wet)
    field = wet * torch.tensor(temperature, dtype=torch.float64)[:, None, None]
    return State(field.repeat(count, 1, 1, 1), 35.0 * wet.double().repeat(count, 1, 1, 1))


def lightening(kelvin: float) -> float:
    """Change of density [kg/m3] by a cooling of that many kelvin."""
    salinity = torch.tensor(35.0, dtype=torch.float64)
    warm, cold = (EOS.density(salinity * 0 + t, salinity, 0.0) for t in (10.0, 10.0 - kelvin))
    return float(cold - warm)


def test_the_distance_is_the_change_of_n2_weighted_by_depth(grid):
    reference = profile(grid, [15.0] * 5)
    colder_below = profile(grid, [15.0, 15.0, 13.0, 13.0, 13.0])  # between 60 and 200 m
    frequency = 1e5 * GRAVITY / REFERENCE_DENSITY * lightening(2.0) / 140
    expected = frequency * 140 / (2000 - 10)
    row = stratification_metrics(colder_below, reference, grid, EOS)
    assert row == {KEY: pytest.approx(expected)}
    assert [column.key for column in COLUMNS] == [KEY]


def test_the_same_stratification_elsewhere_is_no_distance(grid, tiny_grid, tiny_states):
    channel = tiny_grid(rows=6)
    state = tiny_states(channel, batch=4, seed=1)
    other_order = state.map(lambda field: field.flip(0))
    assert stratification_metrics(other_order, state, channel, EOS)[KEY] == 0.0
    warmer = State(state.temperature + 3.0, state.salinity)
    assert stratification_metrics(warmer, state, channel, EOS)[KEY] < 1e-4


def test_interfaces_above_land_only_are_left_out(grid):
    fields = torch.zeros(2, 4, *grid.shape[1:])
    grid.wet[4] = False
    distances = w1_interfaces(fields + 1.0, fields, grid)
    assert distances[:3].tolist() == [1.0] * 3
    assert np.isnan(distances[3])


def test_land_has_no_effect(grid, tiny_states):
    state, reference = (tiny_states(grid, batch=4, seed=seed) for seed in (1, 2))
    expected = stratification_metrics(state, reference, grid, EOS)
    assert expected[KEY] > 0
    wet = torch.from_numpy(grid.wet)
    spoiled = state.map(lambda field: torch.where(wet, field, -7.0))
    assert stratification_metrics(spoiled, reference, grid, EOS) == expected
