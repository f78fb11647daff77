"""Gradients of observations: only at their cells, scaled by their errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from data.errors import UserError
from data.grid import OceanGrid
from data.state import State
from guidance.observations import Observations, Points

Build = Callable[..., State]


@pytest.fixture
def cells(grid: OceanGrid) -> torch.Tensor:
    """Three wet cells: level, row, column."""
    return torch.from_numpy(grid.wet).nonzero()[[0, 7, 40]]


def test_a_state_one_error_off_has_half_an_energy(
    grid: OceanGrid, noisy_state: Build, cells: torch.Tensor
) -> None:
    state = noisy_state(batch=2)
    level, row, column = cells.unbind(1)
    std = torch.tensor([0.1, 0.2, 0.4])
    seen = state.temperature[0, level, row, column] + std
    salt = Points(cells[:1], state.salinity[0, level, row, column][:1] - 0.01, 0.01)
    term = Observations(grid, temperature=Points(cells, seen, std), salinity=salt)
    assert term(state)[0].item() == pytest.approx(0.5, rel=1e-4)


def test_only_observed_cells_are_pulled(
    grid: OceanGrid, noisy_state: Build, cells: torch.Tensor
) -> None:
    state = noisy_state(batch=1)
    temperature = state.temperature.clone().requires_grad_()
    points = Points(cells, torch.zeros(3), 1.0)
    Observations(grid, temperature=points)(State(temperature, state.salinity)).sum().backward()
    assert temperature.grad is not None
    pulled = temperature.grad[0].nonzero()
    assert torch.equal(pulled, cells)


def test_impossible_observations_are_refused(grid: OceanGrid, cells: torch.Tensor) -> None:
    values = torch.zeros(3)
    island = torch.tensor([[0, 2, 2]])
    for points, message in [
        (Points(torch.cat([cells[:2], island]), values, 1.0), r"1 observations lie on land.*2, 2"),
        (Points(cells + 100, values, 1.0), "3 observations lie on land or outside"),
        (Points(cells[:2], values, 1.0), "3 values and cells of shape"),
        (Points(cells, values, 0.0), "error above 0"),
        (Points(cells, values, torch.ones(2)), "one for each value"),
        (Points(cells, values * torch.nan, 1.0), "leave out missing ones"),
        (Points(cells + 0.5, values, 1.0), "whole numbers for cells"),
    ]:
        with pytest.raises(UserError, match=message):
            Observations(grid, temperature=points)
    with pytest.raises(UserError, match="no observations"):
        Observations(grid)
