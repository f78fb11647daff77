"""Temperatures near a bound."""

from __future__ import annotations

import math

import pytest
import torch

from data.state import State
from studies.terms.metrics import bound_metrics, coldest


@pytest.fixture
def ocean(tiny_grid):
    """The tiny grid, and a state of 10 degC with `count` cells of another temperature."""
    grid = tiny_grid()
    wet = torch.from_numpy(grid.wet)

    def state(temperature: float, count: int) -> State:
        field = torch.full((1, *grid.shape), 10.0)
        cells = wet.nonzero()[:count]
        field[0, cells[:, 0], cells[:, 1], cells[:, 2]] = temperature
        field[:, ~wet] = -9.0  # must not count
        return State(field, torch.zeros_like(field))

    return grid, int(wet.sum()), state


def test_shares_and_distance_near_the_bound(ocean):
    grid, wet, state = ocean
    colder, truth = state(-2.0, 3), state(-1.6, 5)
    assert coldest(truth, grid) == pytest.approx(-1.6)
    metrics = bound_metrics(colder, truth, grid, bound=-1.8)
    assert metrics["below_bound_percent"] == pytest.approx(300 / wet)
    assert metrics["near_bound_percent"] == pytest.approx(300 / wet)
    assert metrics["w1_near_bound_K"] == pytest.approx(0.4)


def test_without_water_near_the_bound_there_is_no_distance(ocean):
    grid, _, state = ocean
    metrics = bound_metrics(state(10.0, 1), state(-1.6, 5), grid, bound=-1.8)
    assert metrics["near_bound_percent"] == 0
    assert math.isnan(metrics["w1_near_bound_K"])
