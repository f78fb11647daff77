"""Whether the true level means lie where the expectation's predictive distribution says.

The mean of a member at given conditions is drawn from the predictive distribution, decoded and
averaged over each level; the sampling error of the mean of the true states is added. The truth of
a calibrated prediction is as any other draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from autoencoder.passing import decoded
from data.conditions import Conditions
from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.weights import level_means
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from studies.conditional.cells import FloatArray

DRAWS = 200
BINS = 10
TRIALS = 2000
RANGE = (0.05, 0.95)
LARGEST_CORRELATION = 0.9  # of successive states; of a short record it is not known better


@dataclass(frozen=True)
class Prediction:
    """Level means of T of one member: the truth `z`, and draws of the prediction `d z` [degC]."""

    truth: FloatArray
    draws: FloatArray

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Whether the truth is in the predicted 90 % range, `z`."""
        low, high = np.quantile(self.draws, RANGE, axis=0)
        return (low <= self.truth) & (self.truth <= high)

    @property
    def deviations(self) -> FloatArray:
        """Errors of the predicted mean in predicted standard deviations, `z`."""
        return (self.draws.mean(axis=0) - self.truth) / self.draws.std(axis=0, ddof=1)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Number of draws below the truth, `z`."""
        return (self.draws < self.truth).sum(axis=0)

    def as_if(self, draw: int) -> Prediction:
        """The prediction with one of its draws as the truth."""
        return Prediction(self.draws[draw], np.delete(self.draws, draw, axis=0))


def share_percent(flags: Sequence[NDArray[np.bool_]]) -> float:
    """Share of levels x members [%]; NaN without members."""
    return float(100 * np.concatenate(flags).mean()) if flags else float("nan")


def rank_histogram(predictions: Sequence[Prediction]) -> NDArray[np.int64]:
    """Number of levels x members in each of `BINS` bins of ranks."""
    ranks = np.concatenate([(one.ranks + 0.5) / (len(one.draws) + 1) for one in predictions])
    return np.histogram(ranks, bins=BINS, range=(0, 1))[0]


def flatness(predictions: Sequence[Prediction]) -> tuple[float, float]:
    """Chi-square of the rank histogram against a flat one, and its p value.

    Levels are correlated, so that the p value of independent ranks would be far too small. Here it
    is the share of larger chi-squares in trials with a random draw of each member as its truth.
    """
    random = np.random.default_rng(0)
    found = _chi_square(rank_histogram(predictions))
    trials = [
        _chi_square(
            rank_histogram([p.as_if(int(random.integers(len(p.draws)))) for p in predictions])
        )
        for _ in range(TRIALS)
    ]
    return found, float(np.mean(np.array(trials) >= found))


def predict(
    pipeline: StatePipeline, conditions: Conditions, truth: State, grid: OceanGrid
) -> Prediction:
    """The prediction of the level means of states `truth` at `conditions`.

    Levels without ocean are left out.
    """
    true = level_means(truth.temperature, grid).numpy()
    ocean = np.isfinite(true[0])
    assert pipeline.expectation is not None, "only a conditional model predicts means"
    course = pipeline.expectation.space.course(conditions)
    noise = mean_noise(true[:, ocean], course, draws=DRAWS)
    draws = predicted_means(pipeline, conditions, grid, draws=DRAWS)[:, ocean]
    return Prediction(true[:, ocean].mean(axis=0), draws + noise)


@torch.no_grad()
def predicted_means(
    pipeline: StatePipeline, conditions: Conditions, grid: OceanGrid, *, draws: int
) -> FloatArray:
    """Level means `d z` of the decoded mean at the conditions, drawn from its distribution.

    In a draw, the coefficients of the mean are the same for all conditions. The draws differ from
    the expected mean so little that the decoder is linear between them: it decodes each draw's mean
    over the conditions, and the expected mean at each of them.
    """
    expectation, codec = pipeline.expectation, pipeline.codec
    assert expectation is not None, "only a conditional model predicts means"
    expected = expectation.mean(conditions)
    latents = torch.stack(
        [
            expectation.draw(conditions, [member_generator(0, d) for _ in range(len(conditions))])
            .double()
            .mean(dim=0)
            for d in range(draws)
        ]
    ).to(expected)

    def means(some: torch.Tensor) -> FloatArray:
        parts = [level_means(one.temperature, grid) for one in decoded(codec, some)]
        return torch.cat(parts).numpy()

    centre = means(expected.double().mean(dim=0, keepdim=True).to(expected))
    return means(expected).mean(axis=0) + means(latents) - centre


def mean_noise(series: FloatArray, course: FloatArray, *, draws: int) -> FloatArray:
    """Sampling errors `d z` of the time mean of level means `n z`, drawn at random.

    They are weighted sums of the anomalies about the `course` `n t`, so that levels are correlated
    as in the record. It has n (1 - r) / (1 + r) independent states, where r is the correlation of
    successive anomalies (e.g. von Storch & Zwiers 1999, section 6.6).
    """
    anomalies = series - course @ np.linalg.lstsq(course, series, rcond=None)[0]
    freedom = max(len(series) - int(np.linalg.matrix_rank(course)), 1)
    independent = len(series) * _independent_share(anomalies)
    weights = np.random.default_rng(0).standard_normal((draws, len(series)))
    return weights @ anomalies / np.sqrt(freedom * independent)


def _independent_share(anomalies: FloatArray) -> float:
    """(1 - r) / (1 + r), at most 1; r is pooled over levels, each in its own unit."""
    unit = anomalies.std(axis=0)
    scaled = anomalies / np.where(unit > 0, unit, 1.0)
    total = np.square(scaled).sum()
    r = (scaled[1:] * scaled[:-1]).sum() / total if total > 0 else 0.0
    r = float(np.clip(r, 0.0, LARGEST_CORRELATION))
    return (1 - r) / (1 + r)


def _chi_square(counts: NDArray[np.int64]) -> float:
    expected = counts.sum() / len(counts)
    return float(np.square(counts - expected).sum() / expected)
