"""Weighted statistics of many states, a few at a time."""

from __future__ import annotations

import torch

from data.state import State
from evaluation.metrics.weights import level_means, over_batches


def states(tiny_grid, tiny_states):
    grid = tiny_grid()
    return grid, tiny_states(grid, batch=5, seed=0)


def test_large_states_are_converted_a_few_at_a_time(tiny_grid, tiny_states, monkeypatch):
    grid, state = states(tiny_grid, tiny_states)
    sizes = []

    def mean(batch: State) -> torch.Tensor:
        sizes.append(len(batch))
        assert batch.temperature.dtype == torch.float64
        return batch.temperature.mean(dim=(1, 2, 3))

    whole = over_batches(state, mean)
    monkeypatch.setattr("evaluation.metrics.weights.BATCH_BYTES", 2 * 8 * grid.wet.size)
    assert torch.equal(over_batches(state, mean), whole)
    assert sizes == [5, 2, 2, 1]


def test_level_means_do_not_depend_on_the_batch(tiny_grid, tiny_states, monkeypatch):
    grid, state = states(tiny_grid, tiny_states)
    whole = level_means(state.temperature, grid)
    monkeypatch.setattr("evaluation.metrics.weights.BATCH_BYTES", 1)
    assert torch.equal(level_means(state.temperature, grid), whole)
