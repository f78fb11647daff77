"""The grid-scale oscillation of a tracer step that is too long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.basin.oscillation import STATES, grid_scale_oscillation, oscillates
from tests.conftest import _tiny_grid


@pytest.fixture
def grid():
    return _tiny_grid(rows=12, columns=16)


def _states(grid, amplitude: float, *, count: int = STATES) -> np.ndarray:
    """A front that rises evenly, and a checkerboard whose sign alternates from state to state."""
    _, rows, columns = grid.wet.shape
    y, x = np.mgrid[:rows, :columns]
    board = (-1.0) ** (y + x)
    fields = [0.5 * y + 0.1 * n + amplitude * (-1) ** n * board for n in range(count)]
    return np.stack([np.where(grid.wet, field, 0.0) for field in fields])


def test_a_checkerboard_is_measured_by_its_amplitude(grid):
    # It changes by twice its amplitude, and its neighbours by as much with the other sign.
    expected = 4 * 0.05 / 2**0.5
    assert grid_scale_oscillation(_states(grid, 0.05), grid) == pytest.approx(expected)


def test_a_smooth_change_is_no_oscillation(grid):
    assert grid_scale_oscillation(_states(grid, 0.0), grid) == pytest.approx(0, abs=1e-12)


def test_only_a_lasting_oscillation_counts(grid):
    assert oscillates(list(_states(grid, 0.1)), grid)
    assert not oscillates(list(_states(grid, 0.1, count=STATES - 1)), grid)
    assert not oscillates(list(_states(grid, 0.01)), grid)
    once = _states(grid, 0.0)
    once[4] += _states(grid, 1.0)[4] - once[4]
    assert not oscillates(list(once), grid)


def test_without_a_thermocline_there_is_nothing_to_measure(grid):
    shallow = replace(grid, depth=np.linspace(5, 100, len(grid.depth)))
    assert np.isnan(grid_scale_oscillation(_states(shallow, 0.1), shallow))
    assert not oscillates(list(_states(shallow, 0.1)), shallow)
