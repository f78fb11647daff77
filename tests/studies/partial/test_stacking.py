"""The weighted mean of predictions whose errors are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studies.partial.records import Records
from studies.partial.stacking import WeightedMean, best_weights

RANDOM = np.random.default_rng(0)


@pytest.fixture
def training() -> Records:
    nothing = np.zeros((5, 1))
    means, equilibrium = RANDOM.normal(size=(5, 2, 8)), RANDOM.normal(size=(5, 8))
    return Records(nothing, nothing, np.array([1.0, 2.0]), means, equilibrium, np.array([100.0]))


def test_errors_that_cancel_have_weights_by_which_they_cancel():
    error = RANDOM.normal(size=(3, 4))
    np.testing.assert_allclose(best_weights(np.stack([error, -3 * error])), [0.75, 0.25], atol=1e-6)


def test_of_independent_errors_each_has_a_weight_by_its_inverse_variance():
    errors = RANDOM.normal(size=(2, 1, 200_000)) * np.array([1.0, 2.0])[:, None, None]
    np.testing.assert_allclose(best_weights(errors), [0.8, 0.2], atol=0.01)


def test_a_prediction_that_makes_the_mean_worse_has_no_weight():
    error = RANDOM.normal(size=(3, 4))
    np.testing.assert_allclose(best_weights(np.stack([error, 2 * error])), [1, 0], atol=1e-6)


def test_an_exact_prediction_is_taken(training):
    mean = WeightedMean([lambda _, at: at.last, lambda _, at: at.equilibrium])
    np.testing.assert_allclose(mean.weights(training), [0, 1], atol=1e-6)
    np.testing.assert_allclose(mean(training, training), training.equilibrium, atol=1e-5)


def test_members_count_by_their_error_relative_to_their_change(training):
    """The first member changes most; alone it would choose the first prediction."""
    sizes = np.array([1000.0, 1, 1, 1, 1])[:, None]
    off = sizes * np.array([0, 1, 1, 1, 1])[:, None], sizes * np.array([1, 0, 0, 0, 0])[:, None]
    far = training.equilibrium + np.concatenate([sizes * np.eye(5, 8)])
    found = replace(training, means=np.stack([far, far], axis=1))

    def with_error(error):
        def predict(_, at):
            rows = [
                int(np.abs(training.equilibrium - one).sum(1).argmin()) for one in at.equilibrium
            ]
            return at.equilibrium + error[rows]

        return predict

    weights = WeightedMean([with_error(one) for one in off]).weights(found)
    assert weights[1] > 0.7
