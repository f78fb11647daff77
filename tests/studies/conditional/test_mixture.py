"""One population or two."""

from __future__ import annotations

import numpy as np
import pytest

from studies.conditional.cells import Cells
from studies.conditional.mixture import bimodality, peaks, positions, residual, width_ratio


def _normal(count: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(size=count)


def test_a_normal_distribution_has_one_peak_and_the_members_width():
    values = _normal()
    assert peaks(values) == 1
    assert bimodality(values) == pytest.approx(1 / 3, abs=0.05)
    assert width_ratio(values, [np.array([-1.0, 1.0])]) == pytest.approx(1, abs=0.1)


def test_a_mixture_of_two_members_has_two_peaks_and_is_too_wide():
    values = np.concatenate([0.2 * _normal() - 1, 0.2 * _normal() + 1])
    assert peaks(values) == 2
    assert bimodality(values) > 0.8
    assert width_ratio(values, [0.2 * _normal()]) > 4


def test_positions_are_0_and_1_at_the_ends(tiny_grid, tiny_states):
    grid = tiny_grid()
    states = tiny_states(grid, batch=3, seed=0)
    cells = Cells.of(tiny_states(grid, batch=8, seed=1), grid)
    first, second, _ = vectors = cells.vectors(states)
    vectors[2] = 0.25 * first + 0.75 * second
    assert positions(vectors, first, second, cells) == pytest.approx([0, 1, 0.75])


def test_the_season_does_not_widen_a_distribution():
    season = np.cos(np.pi * np.arange(400) / 2)
    course = np.stack([np.ones(400), season], axis=1)
    left = residual(_normal() + 5 * season, course)
    assert left.std() == pytest.approx(1, abs=0.1)
