"""Regression on the parameters of members, against what is known."""

from __future__ import annotations

import numpy as np
import pytest

from latent_diffusion.regression import choose, predict, regressors

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(20, 2))
ELSEWHERE = RANDOM.uniform(-1, 1, size=(200, 2))


def quadratic(points: np.ndarray) -> np.ndarray:
    x, y = points.T
    return np.stack([3 + 2 * x - y, x * y - 0.5 * x**2])


def predicted(values: np.ndarray, at: np.ndarray = ELSEWHERE) -> tuple[np.ndarray, np.ndarray]:
    return predict(at, POINTS, values, choose(POINTS, values))


@pytest.mark.parametrize("candidate", regressors(20), ids=lambda one: f"{one.name} {one.noise}")
def test_leave_one_out_errors_are_those_of_leaving_each_out(candidate):
    values = quadratic(POINTS) + RANDOM.normal(size=(2, 20))
    errors, _ = candidate.leave_one_out(POINTS, values)
    for left in (0, 7, 19):
        rest = np.arange(20) != left
        mean, _ = candidate.predict(POINTS[[left]], POINTS[rest], values[:, rest])
        np.testing.assert_allclose(values[:, left] - mean[0], errors[:, left], rtol=1e-5, atol=1e-8)


def test_it_finds_linear_and_quadratic_responses():
    mean, deviation = predicted(quadratic(POINTS))
    np.testing.assert_allclose(mean, quadratic(ELSEWHERE).T, atol=0.05)
    assert deviation.max() < 0.1


def test_the_predictive_standard_deviation_is_that_of_new_members():
    noise = 0.5 * RANDOM.normal(size=(200, 20))
    values = 2 * POINTS[:, 0] + noise
    mean, deviation = predicted(values)
    truth = 2 * ELSEWHERE[:, :1] + 0.5 * RANDOM.normal(size=mean.shape)
    ratio = np.square((truth - mean) / deviation).mean()
    assert 0.75 < ratio < 1.3


def test_what_does_not_depend_on_the_parameters_stays_at_its_mean():
    values = RANDOM.normal(size=(50, 20))
    mean, _ = predicted(values)
    explained = mean - values.mean(axis=1)
    assert np.square(explained).mean() < 0.25  # 1: the noise itself


def test_a_response_too_weak_to_be_seen_in_one_coefficient_is_found_in_many():
    slopes = np.random.default_rng(2).normal(size=(60, 1)) * 0.5
    values = slopes * POINTS[:, 0] + RANDOM.normal(size=(60, 20))
    mean, _ = predicted(values)
    truth = (slopes * ELSEWHERE[:, 0]).T
    assert np.square(mean - truth).mean() < np.square(values.mean(axis=1) - truth).mean()


def test_uncertainty_grows_away_from_the_members():
    values = quadratic(POINTS) + 0.1 * RANDOM.normal(size=(2, 20))
    _, near = predicted(values, at=np.zeros((1, 2)))
    _, far = predicted(values, at=np.full((1, 2), 4.0))
    assert (far > 1.5 * near).all()


def test_three_members_are_interpolated():
    """As of one parameter: a curve through all three, not a line past them."""
    points, values = np.array([[-1.2], [0.0], [1.2]]), np.array([[0.0, 1.0, 1.6]])
    mean, deviation = predict(points, points, values, choose(points, values))
    assert np.abs(mean[:, 0] - values[0]).max() < 0.01
    assert np.isfinite(deviation).all()


def test_eight_members_are_as_certain_as_their_neighbours():
    """Seven of them would be too few for a choice; leaving one out must not change the rules."""
    deviations = []
    for count in (8, 9):
        points = np.linspace(-1.5, 1.5, count)[:, None]
        values = 2 * points.T + 0.1 * np.random.default_rng(1).normal(size=(40, count))
        deviations.append(
            np.median(predict(np.zeros((1, 1)), points, values, choose(points, values))[1])
        )
    assert deviations[0] < 1.5 * deviations[1]
