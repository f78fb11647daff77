"""Statistical emulators of the mean state."""

from __future__ import annotations

import numpy as np
import pytest

from studies.conditional.mean_states import (
    MeanRegression,
    gaussian_processes,
    neighbour_weights,
    ridge_regressors,
)

AT = np.array([[0.3, -0.4], [-0.5, 0.8]])


def _response(points: np.ndarray, size: int, *, curvature: float) -> np.ndarray:
    """Fields `m n`, linear or quadratic in points `m p`."""
    patterns = np.random.default_rng(1).normal(size=(4, size))
    square = curvature * np.stack([points[:, 0] ** 2, points.prod(axis=1)], axis=1)
    return 10 + np.concatenate([points, square], axis=1) @ patterns


@pytest.mark.parametrize("curvature", [0.0, 0.5])
@pytest.mark.parametrize("among", [ridge_regressors, gaussian_processes])
def test_a_smooth_response_is_recovered(training_members, size, among, curvature):
    training = training_members(lambda point: 0.0, lambda *_: np.zeros((40, size)))
    fields = _response(training.points, size, curvature=curvature)
    regression = MeanRegression.of(fields, training.points, cells=training.cells, among=among())
    error = regression.predict(AT) - _response(AT, size, curvature=curvature)
    spread = fields.std()
    assert np.sqrt(np.square(error).mean()) < (0.01 if curvature == 0 else 0.15) * spread


def test_a_response_to_nothing_is_the_mean(training_members, size):
    training = training_members(lambda point: 0.0, lambda *_: np.zeros((40, size)))
    noise = np.random.default_rng(2).normal(size=(12, size))
    regression = MeanRegression.of(
        noise, training.points, cells=training.cells, among=gaussian_processes()
    )
    assert regression.predict(AT).std(axis=1) == pytest.approx(noise.mean(axis=0).std(), rel=0.5)


def test_neighbours_are_weighted_by_their_inverse_distance():
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    weights = neighbour_weights(np.array([1.0, 0.0]), points)
    expected = np.array([1, 1 / 2, 1 / np.sqrt(5), 0])
    assert weights == pytest.approx(expected / expected.sum())
    assert neighbour_weights(points[1], points) == pytest.approx([0, 1, 0, 0], abs=1e-9)
