"""Classical statistics of the training states: what a generated state must be better than."""

from __future__ import annotations

import torch

from data.state import State


def eof_gaussian(training: State, count: int, *, seed: int = 0) -> State:
    """`count` states with Gaussian coefficients of all EOFs of the training states.

    With all EOFs retained, drawing their coefficients from N(0, eigenvalue) is the same as
    weighting the n training anomalies with N(0, 1 / (n - 1)), which needs no decomposition. The
    states have the mean and, in expectation, the covariance of the training states (e.g. von Storch
    & Zwiers 1999, chapter 13). Raises `ValueError` for fewer than two training states.
    """
    available = len(training)
    if available < 2:
        raise ValueError(f"{available} training states have no covariance: give at least 2")
    noise = torch.randn(count, available, generator=torch.Generator().manual_seed(seed))
    weights = noise / (available - 1) ** 0.5

    def draw(field: torch.Tensor) -> torch.Tensor:
        mean = field.double().mean(dim=0)
        anomalies = (field - mean.to(field)).flatten(1)
        return (mean + (weights @ anomalies).view(count, *field.shape[1:])).to(field)

    return training.map(draw)


def mean_state(states: State) -> State:
    """The mean of states, as one state."""
    return states.map(lambda field: field.double().mean(dim=0, keepdim=True).to(field))
