"""Land-free rectangles of ocean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoencoder.boxes import Box, boxes_at_depths, largest_wet_box


def _area_by_search(wet: np.ndarray, *, smallest: int, periodic_x: bool) -> int:
    rows, columns = wet.shape
    best = 0
    for top in range(rows):
        for bottom in range(top + smallest, rows + 1):
            open_columns = wet[top:bottom].all(axis=0)
            for left in range(columns):
                for width in range(smallest, columns + 1):
                    cells = left + np.arange(width)
                    if not periodic_x and cells[-1] >= columns:
                        break
                    if open_columns[cells % columns].all():
                        best = max(best, width * (bottom - top))
    return best


@pytest.mark.parametrize("periodic_x", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_the_box_is_wet_and_none_is_larger(seed, periodic_x):
    wet = np.random.default_rng(seed).random((9, 11)) > 0.12
    box = largest_wet_box(wet, periodic_x=periodic_x, smallest=2)
    cut = box.cut(torch.from_numpy(wet))
    assert cut.shape == (box.rows, box.columns)
    assert min(cut.shape) >= 2
    assert cut.all()
    assert cut.numel() == _area_by_search(wet, smallest=2, periodic_x=periodic_x)


def test_a_wholly_wet_circle_is_used_once():
    box = largest_wet_box(np.ones((8, 10), dtype=bool), periodic_x=True)
    assert (box.rows, box.columns) == (8, 10)


def test_a_box_may_cross_the_seam_of_a_periodic_ocean():
    wet = np.ones((9, 20), dtype=bool)
    wet[:, 9] = False
    assert largest_wet_box(wet, periodic_x=True) == Box(0, 10, 9, 19)
    assert largest_wet_box(wet, periodic_x=False) == Box(0, 10, 9, 10)


def test_narrow_water_has_no_box():
    assert largest_wet_box(np.ones((7, 500), dtype=bool), periodic_x=False) is None


def test_levels_without_a_box_are_left_out(tiny_grid):
    grid = tiny_grid(24, 16)  # depths 10, 60, 200, 700 and 2000 m; a sill closes the lowest two
    assert sorted(boxes_at_depths(grid)) == [0, 1, 2, 3]
    grid.wet[3] = False
    assert sorted(boxes_at_depths(grid)) == [0, 1, 2]
    assert boxes_at_depths(tiny_grid(12, 8)) == {}
