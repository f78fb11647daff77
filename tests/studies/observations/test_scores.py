"""Scores of ensembles whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from studies.observations.scores import fair_crps, flat_p, mean_square_spread, rank_shares


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("members", [2, 16])
def test_the_fair_crps_is_that_of_the_normal_distribution(members):
    """Gneiting et al. 2005: s (z (2 F(z) - 1) + 2 f(z) - 1/sqrt(pi)), whatever the size."""
    mean, std, truth = 1.0, 2.0, 2.5
    z = (truth - mean) / std
    expected = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    ensembles = mean + std * _normal(members, 50_000)
    scores = fair_crps(ensembles, torch.tensor(truth))
    assert float(scores.mean()) == pytest.approx(expected, rel=0.02)


def test_the_crps_is_the_sum_over_pairs():
    members, truth = _normal(5, 3), _normal(3, seed=1)
    pairs = (members[:, None] - members[None]).abs().sum(dim=(0, 1)) / (5 * 4)
    expected = (members - truth).abs().mean(dim=0) - pairs / 2
    torch.testing.assert_close(fair_crps(members, truth), expected)


def test_the_crps_of_one_state_is_its_absolute_error():
    assert fair_crps(torch.tensor([[3.0]]), torch.tensor([1.0])).tolist() == [2.0]


def test_the_spread_of_a_calibrated_ensemble_is_the_error_of_its_mean():
    members, truth = _normal(4, 50_000), _normal(50_000, seed=1)
    error = float((members.mean(dim=0) - truth).square().mean())
    assert float(mean_square_spread(members).mean()) == pytest.approx(error, rel=0.02)


def test_ranks_weigh_cells_by_volume():
    members = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    shares = rank_shares(members, torch.tensor([0.0, 3.0]), torch.tensor([3.0, 1.0]))
    assert shares[0].tolist() == [0.75, 0.0, 0.25]  # below all members, above all
    assert shares.sum(axis=0) == pytest.approx(1.0)  # each rank is somebody's


def test_correlated_cells_of_calibrated_ensembles_are_flat():
    """All cells of a truth equal: independent ranks would reject nearly always."""
    calibrated, narrow = [], []
    for trial in range(20):
        for found, factor in ((calibrated, 1.0), (narrow, 0.1)):
            drawn = [_normal(16, 1, seed=100 * trial + t).expand(-1, 50) for t in range(12)]
            truths = [_normal(1, seed=100 * trial + t + 50).expand(50) for t in range(12)]
            shares = [
                rank_shares(factor * one, truth, torch.ones(50))
                for one, truth in zip(drawn, truths, strict=True)
            ]
            found.append(flat_p(shares))
    assert np.mean(np.array(calibrated) < 0.1) < 0.25
    assert np.mean(np.array(narrow) < 0.1) > 0.9
