"""Scores of an ensemble against the true state, and ranks of the truth in it.

The mean of m members of a calibrated ensemble is off by sqrt(1 + 1/m) times their standard
deviation (Fortin et al. 2014, Journal of Hydrometeorology 15, 1708), so the spread contains this
factor. The CRPS is the fair one (Ferro 2014, QJRMS 140, 1917), which does not depend on m for
ensembles of the same distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]
MOST_BINS = 10  # of rank histograms
TRIALS = 1999


def fair_crps(members: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score `...` of members `b ...`; of one, its absolute error."""
    count = len(members)
    error = (members - truth).abs().mean(dim=0)
    if count == 1:
        return error
    order = 2 * torch.arange(1, count + 1, dtype=members.dtype) - count - 1
    ordered = members.sort(dim=0).values
    # The mean absolute difference of all pairs, from the order statistics.
    half = torch.tensordot(order, ordered, dims=1) / (count * (count - 1))
    return error - half


def mean_square_spread(members: Tensor) -> Tensor:
    """Expected square error `...` of the mean of calibrated members `b ...`; NaN for one."""
    if len(members) == 1:
        return torch.full(members.shape[1:], torch.nan, dtype=members.dtype)
    return (1 + 1 / len(members)) * members.var(dim=0)


def rank_shares(members: Tensor, truth: Tensor, weights: Tensor) -> FloatArray:
    """Rank histograms `b+1 k` of the truth, and of each member in its place.

    members: `b n`; truth, weights: `n`; a row holds the share of the weights in each of k bins of
    ranks
    """
    pooled = torch.cat([truth[None], members])
    ranks = pooled.argsort(dim=0).argsort(dim=0)  # of each among all others
    count = len(pooled)
    bins = min(count, MOST_BINS)
    number = ranks * bins // count
    shares = torch.zeros(count, bins, dtype=torch.float64)
    shares.scatter_add_(1, number, (weights / weights.sum()).double().expand(count, -1))
    return shares.numpy()


def flat_p(shares: Sequence[FloatArray]) -> float:
    """How probable a rank histogram at least as uneven is for calibrated ensembles.

    shares: of each truth, from `rank_shares`. Cells are correlated, so that the chi-square of
    independent ranks would reject calibrated ensembles. Here a random one of truth and members
    takes the truth's place in each of many trials.
    """
    count, bins = shares[0].shape
    expected = np.bincount(np.arange(count) * bins // count) / count
    random = np.random.default_rng(0)

    def uneven(mean: FloatArray) -> FloatArray:
        return (np.square(mean - expected) / expected).sum(axis=-1)

    found = uneven(np.mean([one[0] for one in shares], axis=0))
    trials = uneven(np.mean([one[random.integers(count, size=TRIALS)] for one in shares], axis=0))
    return float((1 + (trials >= found - 1e-12).sum()) / (1 + TRIALS))
