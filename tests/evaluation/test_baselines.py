"""Classical baselines have the statistics that they promise."""

from __future__ import annotations

import pytest
import torch

from data.state import State
from evaluation.baselines import eof_gaussian, mean_state


def correlated_states(count: int) -> State:
    """States whose S follows T, with another mean in every cell; the last column is land."""
    generator = torch.Generator().manual_seed(0)
    pattern = torch.linspace(1, 2, 2 * 3 * 4).view(2, 3, 4)
    field = pattern + pattern * torch.randn(count, 1, 1, 1, generator=generator)
    field[..., -1] = 0.0
    return State(field, 35.0 * (field != 0) + 0.1 * field)


def test_eof_gaussian_states_have_mean_and_covariance_of_the_training_states():
    training = correlated_states(12)
    drawn = eof_gaussian(training, 20_000)
    for ours, theirs in zip(
        (drawn.temperature, drawn.salinity), (training.temperature, training.salinity), strict=True
    ):
        torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.05, rtol=0)
        torch.testing.assert_close(ours.var(0), theirs.var(0), atol=0.05, rtol=0.05)
    anomaly = drawn.map(lambda field: field - field.mean(dim=0))
    torch.testing.assert_close(anomaly.salinity, 0.1 * anomaly.temperature, atol=1e-4, rtol=0)


def test_eof_gaussian_leaves_land_alone_and_repeats_itself():
    training = correlated_states(5)
    first, again = (eof_gaussian(training, 3, seed=4) for _ in range(2))
    assert (first.temperature[..., -1] == 0).all()
    assert torch.equal(first.temperature, again.temperature)
    assert not torch.equal(first.temperature, eof_gaussian(training, 3, seed=5).temperature)


def test_eof_gaussian_needs_two_states():
    with pytest.raises(ValueError, match="1 training states have no covariance"):
        eof_gaussian(correlated_states(1), 3)


def test_the_mean_state_is_one_state():
    training = correlated_states(5)
    mean = mean_state(training)
    assert len(mean) == 1
    torch.testing.assert_close(mean.temperature[0], training.temperature.mean(dim=0))


def test_both_are_the_same_in_blocks(monkeypatch):
    training = correlated_states(7)
    whole = eof_gaussian(training, 3), mean_state(training)
    monkeypatch.setattr("evaluation.baselines.BLOCK_BYTES", 8 * 7 * 5)
    for ours, theirs in zip((eof_gaussian(training, 3), mean_state(training)), whole, strict=True):
        torch.testing.assert_close(ours.temperature, theirs.temperature, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(ours.salinity, theirs.salinity, rtol=1e-6, atol=1e-6)
