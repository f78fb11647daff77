"""What guidance is judged by, on states where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.stability import overturning_columns_percent
from evaluation.metrics.weights import column_area
from guidance.seawater import equation_of_state
from studies.guidance.metrics import (
    adjustment_moves,
    temperature_salinity_distance,
    thermocline_level,
    thermocline_variance,
)


@pytest.fixture
def ocean(tiny_grid, tiny_states):
    grid = tiny_grid()
    return grid, tiny_states(grid, batch=6, seed=3)


def test_the_thermocline_is_the_strongest_gradient_below_the_seasonal_one(ocean):
    grid, states = ocean
    depth = np.array(grid.depth)
    falls = np.zeros(len(depth))
    deep = int(np.argmax(depth >= 100))
    falls[1], falls[deep + 1] = 9.0, 3.0
    profile = torch.from_numpy(20 - falls.cumsum())[:, None, None]
    wet = torch.from_numpy(grid.wet)
    state = State((profile * wet).expand(2, -1, -1, -1), states.salinity[:2])
    assert thermocline_level(state, grid) == deep


def test_variance_at_the_thermocline_is_relative_to_the_truth(ocean):
    grid, states = ocean
    assert set(thermocline_variance(states, states, grid).values()) == {1.0}
    mean = states.temperature.mean(0)
    half = State(mean + 0.5 * (states.temperature - mean), states.salinity)
    ratios = thermocline_variance(half, states, grid)
    assert ratios["variance_ratio_thermocline_temperature"] == pytest.approx(0.25, rel=1e-4)
    assert ratios["variance_ratio_thermocline_salinity"] == 1.0


def test_the_distance_of_t_s_diagrams(ocean):
    grid, states = ocean
    same = temperature_salinity_distance(states, states, grid)
    assert same < 0.03, "two draws of the same water"
    wet = torch.from_numpy(grid.wet)
    std = states.temperature[:, wet].double().std()
    warmer = State(states.temperature + std * wet, states.salinity)
    # The mean over directions of |cos| is 2 / pi.
    expected = 2 / np.pi * float(std) / _volume_std(states.temperature, grid)
    assert temperature_salinity_distance(warmer, states, grid) == pytest.approx(expected, rel=0.1)


def test_a_column_overturns_if_any_pair_of_it_does(ocean):
    grid, _ = ocean
    eos = equation_of_state("linear")
    wet = torch.from_numpy(grid.wet)
    profile = torch.arange(len(grid.depth), 0, -1.0)[:, None, None]
    stable = State((profile * wet).expand(2, -1, -1, -1).clone(), 35.0 * wet.expand(2, -1, -1, -1))
    assert overturning_columns_percent(stable, grid, eos) == 0
    deep = torch.nonzero(wet[1])[0]
    stable.temperature[0, 1, deep[0], deep[1]] += 5  # warmer than the cell above, in one of two
    columns = 2 * int(wet[1].sum())
    assert overturning_columns_percent(stable, grid, eos) == pytest.approx(100 / columns)


def test_heat_that_is_moved_is_counted_once(ocean):
    """One kelvin of the top level's water, from the level below where there is one."""
    grid, states = ocean
    two = torch.from_numpy(grid.wet[0] & grid.wet[1])
    thickness = torch.from_numpy(grid.thickness)
    change = torch.zeros(grid.shape, dtype=torch.float64)
    change[0], change[1] = two.double(), -(two * thickness[0] / thickness[1].clamp(min=1))
    moved = State(states.temperature.double() + change, states.salinity)
    moves = adjustment_moves(states, moved, grid)
    area = column_area(grid)
    expected = (area * two * thickness[0]).sum() / area.sum()
    assert moves["heat_moved_K_m"] == pytest.approx(float(expected), rel=1e-4)
    assert moves["salt_moved_m"] == 0


def _volume_std(field: torch.Tensor, grid) -> float:
    volume = torch.from_numpy(grid.volume).expand_as(field)
    mean = (field * volume).sum() / volume.sum()
    return float((((field - mean) ** 2 * volume).sum() / volume.sum()).sqrt())
