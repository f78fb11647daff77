"""The EOF-Gaussian emulator: mean, season and covariance at given conditions."""

from __future__ import annotations

import numpy as np
import pytest

from data.conditions import Conditions
from studies.conditional.emulator import GaussianEmulator


@pytest.fixture
def emulator(training_members, size) -> tuple[GaussianEmulator, np.ndarray]:
    """Fitted to members with a linear mean, a season, and variance that grows with GM."""
    random = np.random.default_rng(3)
    patterns = random.normal(size=(5, size))

    def mean(point):
        return 5 + point @ patterns[:2]

    def anomaly(conditions, point, random):
        season = np.cos(2 * np.pi * conditions.values["season"])[:, None] * patterns[2]
        width = np.array([np.exp(0.5 * point[0]), 0.5])
        return season + (random.normal(size=(len(season), 2)) * width) @ patterns[3:]

    return GaussianEmulator.of(training_members(mean, anomaly, states=80)), patterns


def _conditions(emulator: GaussianEmulator, point: float, season: float, count: int) -> Conditions:
    parameters = emulator.space.parameters(np.array([[point, 0.0]]))
    values = {name: np.full(count, v[0]) for name, v in parameters.items()}
    return Conditions(values | {"season": np.full(count, season)})


def test_the_mean_follows_parameters_and_season(emulator):
    fitted, patterns = emulator
    summer, winter, other = (
        fitted.mean(_conditions(fitted, *at, 1))[0] for at in ((0.0, 0.0), (0.0, 0.5), (1.0, 0.0))
    )
    for found, expected in ((summer - winter, 2 * patterns[2]), (other - summer, patterns[0])):
        assert np.std(found - expected) < 0.25 * np.std(expected)


@pytest.mark.parametrize("point", [-1.0, 1.0])
def test_the_covariance_follows_the_parameters(emulator, point):
    fitted, patterns = emulator
    drawn = fitted.draw(_conditions(fitted, point, 0.0, 4000), seed=0)
    scores = (drawn - drawn.mean(axis=0)) @ np.linalg.pinv(patterns[3:])
    assert scores.var(axis=0) == pytest.approx([np.exp(point), 0.25], rel=0.25)
    assert np.std(drawn.mean(axis=0) - fitted.mean(_conditions(fitted, point, 0.0, 1))[0]) < 0.05


def test_the_noise_depends_on_the_seed_alone(emulator):
    fitted, _ = emulator
    conditions = _conditions(fitted, 0.0, 0.0, 2)
    first, again, other = (fitted.draw(conditions, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
