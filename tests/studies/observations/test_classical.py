"""Classical analyses against the exact posterior of a normal prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from data.errors import UserError
from data.localisation import distance_km, gaspari_cohn
from data.locate import Locator
from studies.observations import classical
from studies.observations.classical import (
    Ensemble,
    Evidence,
    Localisation,
    column_of_values,
    interpolated,
    leading_components,
    smoothed,
)

VALUES, OBSERVED = 12, 5


class Normal(NamedTuple):
    """A normal prior of vectors, a linear operator on them, and evidence."""

    mean: np.ndarray
    root: np.ndarray
    rows: np.ndarray
    evidence: Evidence

    def ensemble(self, count: int, *, seed: int) -> Ensemble:
        noise = np.random.default_rng(seed).standard_normal((count, len(self.root)))
        return self.of(self.mean + noise @ self.root)

    def of(self, vectors: np.ndarray) -> Ensemble:
        return Ensemble(vectors, vectors @ self.rows.T)

    def posterior(self, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (of the prior's mean) and covariance, by the textbook."""
        seen = self.rows @ covariance @ self.rows.T + self.evidence.covariance
        gain = covariance @ self.rows.T @ np.linalg.inv(seen)
        return (
            self.mean + gain @ (self.evidence.value - self.rows @ self.mean),
            covariance - gain @ self.rows @ covariance,
        )


@pytest.fixture
def normal() -> Normal:
    random = np.random.default_rng(0)
    root = random.standard_normal((4, VALUES)) * np.array([[2.0], [1.0], [0.5], [0.3]])
    rows = random.standard_normal((OBSERVED, VALUES))
    noise = random.standard_normal((OBSERVED, OBSERVED))
    covariance = 0.3 * np.eye(OBSERVED) + 0.1 * noise @ noise.T
    mean = random.standard_normal(VALUES)
    # Values of an unlikely state would magnify the sampling error of the gain.
    truth = mean + random.standard_normal(len(root)) @ root
    value = rows @ truth + np.linalg.cholesky(covariance) @ random.standard_normal(OBSERVED)
    return Normal(mean, root, rows, Evidence(value, covariance))


def _at_the_mean(normal: Normal, count: int) -> Ensemble:
    return normal.of(np.repeat(normal.mean[None], count, axis=0))


def test_interpolation_of_the_mean_is_the_kalman_mean(normal):
    prior = normal.ensemble(40, seed=1)
    covariance = np.cov(prior.vectors.T)
    moved = interpolated(
        _at_the_mean(normal, 2000), normal.evidence, prior, np.random.default_rng(2)
    )
    expected = normal.posterior(covariance)[0]
    noise = moved.std(axis=0) / np.sqrt(len(moved))
    assert np.abs(moved.mean(axis=0) - expected).max() < 4 * noise.max()


@pytest.mark.slow
def test_interpolated_members_sample_the_posterior(normal):
    prior = normal.ensemble(3000, seed=1)
    moved = interpolated(prior, normal.evidence, prior, np.random.default_rng(2))
    mean, covariance = normal.posterior(normal.root.T @ normal.root)
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((moved.mean(axis=0) - mean) / scale).max() < 0.12
    assert np.cov(moved.T) == pytest.approx(covariance, abs=0.1 * scale.max() ** 2)


def test_all_components_have_the_covariance_of_the_ensemble_and_few_less(normal):
    prior, weights = normal.ensemble(30, seed=1), np.linspace(0.5, 2, VALUES)
    whole = leading_components(prior, weights, share=1 - 1e-12)
    assert len(whole.vectors) == 2 * 4
    assert np.cov(whole.vectors.T) == pytest.approx(np.cov(prior.vectors.T))
    assert whole.vectors.mean(axis=0) == pytest.approx(prior.vectors.mean(axis=0))
    assert whole.seen == pytest.approx(whole.vectors @ normal.rows.T)
    few = leading_components(prior, weights, share=0.5)
    assert len(few.vectors) < len(whole.vectors)
    assert np.trace(np.cov(few.vectors.T)) < np.trace(np.cov(prior.vectors.T))


@pytest.mark.slow
def test_the_smoother_converges_to_the_kalman_posterior(normal):
    pytest.importorskip("iterative_ensemble_smoother")
    mean, covariance = normal.posterior(normal.root.T @ normal.root)
    scale = np.sqrt(np.diag(covariance))

    def worst(count: int) -> float:
        vectors = normal.ensemble(count, seed=1).vectors
        moved = smoothed(vectors, lambda v: v @ normal.rows.T, normal.evidence, passes=4, seed=3)
        spread = np.sqrt(np.diag(np.cov(moved.T))) / scale
        return max(np.abs((moved.mean(axis=0) - mean) / scale).max(), np.abs(spread - 1).max())

    assert worst(2000) < 0.12
    assert worst(20) > 0.12


def test_the_smoother_says_what_to_install(normal, monkeypatch):
    monkeypatch.setattr(classical, "is_installed", lambda _: False)
    with pytest.raises(UserError, match=r"halocline\[smoothers\].*--only"):
        smoothed(np.zeros((3, 2)), lambda v: v, normal.evidence, passes=1, seed=0)


@pytest.fixture
def ocean(tiny_grid):
    """A grid, an ensemble of anomalies without any locality, and an observation of T in a cell."""
    grid = tiny_grid()
    places, column = column_of_values(grid, fields=2)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((6, 1)) * np.ones(len(column))
    cell = int(np.flatnonzero(column == column[0])[0])
    observed = places[:, column[[cell]]]
    evidence = Evidence(np.array([3.0]), np.array([[0.01]]))
    return grid, places, column, Ensemble(vectors, vectors[:, [cell]]), observed, evidence


def test_localisation_leaves_distant_columns_alone(ocean):
    grid, places, column, ensemble, observed, evidence = ocean
    locator = Locator(grid)
    local = Localisation(places, column, observed, 2000.0, locator)
    first = Ensemble(ensemble.vectors[:1], ensemble.seen[:1])
    moved, everywhere = (
        interpolated(first, evidence, ensemble, np.random.default_rng(1), localisation=one)
        - first.vectors
        for one in (local, None)
    )
    distance = distance_km(places[:, column], observed, locator)[:, 0]
    assert np.ptp(everywhere) < 1e-12 and abs(everywhere[0, 0]) > 0.5
    assert (moved[0, distance >= 2000] == 0).all() and (distance >= 2000).any()
    factor = gaspari_cohn(distance / 1000)
    assert moved[0] == pytest.approx(everywhere[0] * factor)


def test_wide_localisation_is_none(ocean):
    grid, places, column, ensemble, observed, evidence = ocean
    local = Localisation(places, column, observed, 1e9, Locator(grid))
    with_it, without = (
        interpolated(ensemble, evidence, ensemble, np.random.default_rng(1), localisation=one)
        for one in (local, None)
    )
    assert with_it == pytest.approx(without, abs=1e-6)


@pytest.mark.parametrize("vanishes", [1000.0, 4000.0, 12_000.0])
def test_localised_covariances_are_covariances(tiny_grid, vanishes):
    """Also where the ocean repeats within the distance; with arcs there are negative variances."""
    random = np.random.default_rng(0)
    observed = np.stack([random.uniform(0, 32, 60), random.uniform(-40, 0, 60)])
    local = Localisation(observed, np.arange(60), observed, vanishes, Locator(tiny_grid()))
    assert np.linalg.eigvalsh(local.between_observations).min() > -1e-9
