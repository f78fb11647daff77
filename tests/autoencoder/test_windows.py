"""Windows along an axis, and their positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoencoder.windows import Axis, Positions


def test_a_halo_ends_at_a_closed_edge_and_continues_around_a_periodic_axis():
    closed, periodic = Axis(12, 4, 2), Axis(12, 4, 2, periodic=True)
    assert closed.span(5).cells.tolist() == [3, 4, 5, 6, 7, 8, 9, 10]
    assert closed.span(-1).cells.tolist() == [0, 1, 2, 3, 4]
    assert closed.span(-1).inner == slice(0, 3)
    assert closed.span(10).cells.tolist() == [8, 9, 10, 11]
    assert closed.span(10).inner == slice(2, 4)
    assert periodic.span(0).cells.tolist() == [10, 11, 0, 1, 2, 3, 4, 5]
    assert periodic.span(0).inner == slice(2, 6)


def test_a_halo_never_meets_itself():
    whole = Axis(8, 3, 4, periodic=True).span(6)
    assert sorted(whole.cells.tolist()) == list(range(8))
    assert whole.cells[whole.inner].tolist() == [6, 7, 0]
    assert Axis(8, 20, 4, periodic=True).span(0).cells.tolist() == list(range(8))
    assert Axis(8, 20, 4).span(0).inner == slice(0, 8)


@pytest.mark.parametrize("width", [1, 3, 5, 7])
@pytest.mark.parametrize("periodic", [False, True])
def test_every_cell_lies_in_equally_many_windows(width, periodic):
    axis = Axis(7, width, 2, periodic=periodic)
    counts = np.zeros(7, dtype=int)
    values = np.arange(7) ** 2
    for start, total in zip(axis.starts, axis.sums(values), strict=True):
        span = axis.span(start)
        cells = span.cells[span.inner]
        assert total == values[cells].sum()
        counts[cells] += 1
    assert set(counts) == {min(width, 7) if width < 7 else 1}


def test_windows_are_drawn_in_proportion_to_their_wet_cells():
    wet = np.zeros((6, 8), dtype=int)
    wet[1, 2], wet[4, 5:] = 3, 1
    positions = Positions(Axis(6, 2, 1), Axis(8, 3, 1, periodic=True), wet)
    assert positions.wet.sum() == wet.sum() * 2 * 3  # each cell is in six windows
    generator = torch.Generator().manual_seed(0)
    drawn = np.zeros(positions.wet.shape)
    for _ in range(4000):
        drawn[positions.draw(generator)] += 1
    assert (drawn[positions.wet == 0] == 0).all()
    np.testing.assert_allclose(drawn / 4000, positions.wet / positions.wet.sum(), atol=0.015)
