"""States as vectors."""

from __future__ import annotations

import pytest
import torch

from evaluation.metrics.distances import distance_matrix
from studies.conditional.cells import Cells


def test_vectors_are_states_again_and_their_norm_is_the_distance(tiny_grid, tiny_states):
    grid = tiny_grid()
    states = tiny_states(grid, batch=3, seed=0)
    cells = Cells.of(tiny_states(grid, batch=8, seed=1), grid)
    vectors = cells.vectors(states)
    again = cells.states(vectors)
    assert torch.equal(again.temperature, states.temperature)
    assert torch.equal(again.salinity, states.salinity)
    first, second = cells.standardised(vectors)[:2]
    expected = float(distance_matrix(states, states, grid, scale=cells.scale)[0, 1])
    assert ((first - second) ** 2).sum() ** 0.5 == pytest.approx(expected)
