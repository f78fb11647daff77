"""Coverage and ranks of predicted level means."""

from __future__ import annotations

import numpy as np
import pytest

from data.conditions import Conditions
from studies.conditional.coverage import (
    Prediction,
    flatness,
    mean_noise,
    predicted_means,
    rank_histogram,
    share_percent,
)

LEVELS = 15


def _predictions(spread: float, *, members: int = 40) -> list[Prediction]:
    """Predictions whose errors are `spread` times what they say, correlated over the levels."""
    random = np.random.default_rng(0)

    def profiles(count: int) -> np.ndarray:
        return random.normal(size=(count, 1)) + 0.5 * random.normal(size=(count, LEVELS))

    return [Prediction(spread * profiles(1)[0], profiles(200)) for _ in range(members)]


def _coverage(predictions: list[Prediction]) -> float:
    return share_percent([one.covered for one in predictions])


def test_calibrated_predictions_cover_the_truth_and_their_ranks_are_flat():
    predictions = _predictions(1.0)
    assert _coverage(predictions) == pytest.approx(90, abs=6)
    assert flatness(predictions)[1] > 0.05
    assert rank_histogram(predictions).sum() == 40 * LEVELS
    within = share_percent([np.abs(one.deviations) < 2 for one in predictions])
    assert within == pytest.approx(95.4, abs=4)


@pytest.mark.parametrize(("spread", "low", "high"), [(3.0, 20, 65), (0.2, 99, 100)])
def test_predictions_that_are_too_sure_or_too_vague_are_told(spread, low, high):
    predictions = _predictions(spread)
    assert low <= _coverage(predictions) <= high
    assert flatness(predictions)[1] < 0.01


def test_the_error_of_a_mean_knows_the_memory_of_the_record():
    random = np.random.default_rng(0)
    white = random.normal(size=(400, 3))
    red = np.zeros_like(white)
    for row in range(1, 400):
        red[row] = 0.8 * red[row - 1] + 0.6 * white[row]
    course = np.ones((400, 1))
    for series, independent in ((white, 400), (red, 400 * 0.2 / 1.8)):
        noise = mean_noise(series, course, draws=4000)
        expected = series.std(axis=0) / np.sqrt(independent)
        assert noise.std(axis=0) == pytest.approx(expected, rel=0.2)


def test_the_season_is_no_error_of_a_mean():
    season = np.cos(np.pi * np.arange(40) / 2)[:, None]
    noise = mean_noise(5 * season, np.concatenate([np.ones((40, 1)), season], axis=1), draws=10)
    assert np.abs(noise).max() < 1e-9


def test_the_uncertainty_of_a_mean_is_shared_by_its_seasons(conditional):
    pipeline, grid = conditional.pipeline(), conditional.archive.grid
    count = 16
    season = np.arange(count) / count
    values = {"gm": np.full(count, 2500.0), "season": season, "age": np.full(count, np.inf)}
    means, winter = (
        predicted_means(pipeline, conditions, grid, draws=100)[:, 0]
        for conditions in (Conditions(values), Conditions(values).at([0]))
    )
    assert winter.mean() - means.mean() == pytest.approx(1, abs=0.4)  # the season's amplitude
    assert means.std() > 0.5 * winter.std() > 0.05
