"""Parameters regressed from states."""

from __future__ import annotations

import numpy as np
import pytest

from studies.conditional.inversion import ParameterRegression, r_squared


def test_parameters_are_read_from_states_that_respond_to_them(training_members, size):
    patterns = np.random.default_rng(1).normal(size=(2, size))
    training = training_members(
        lambda point: point @ patterns,
        lambda c, p, random: 0.1 * random.normal(size=(len(c), size)),
    )
    inversion = ParameterRegression.of(training)
    points = np.array([[0.5, -0.5], [-1.0, 0.2], [0.1, 1.0]])
    read = [inversion.parameters(training.cells.states(p[None] @ patterns)) for p in points]
    assert np.concatenate(read) == pytest.approx(points, abs=0.05)
    assert r_squared(read, list(points)) == pytest.approx([1, 1], abs=0.02)


def test_states_that_ignore_their_parameters_explain_nothing():
    true = [np.array([-1.0, 2.0]), np.array([1.0, 2.0])]
    explained = r_squared([np.zeros((4, 2))] * 2, true)
    assert explained[0] == pytest.approx(0)
    assert np.isnan(explained[1])  # the members share it
