"""Classical statistics of the training states: what a generated state must be better than."""

from __future__ import annotations

from collections.abc import Callable

import torch

from data.state import State

BLOCK_BYTES = 2**30  # of double-precision values that are in memory together
DOUBLE = 8  # bytes


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

    def draw(values: torch.Tensor) -> torch.Tensor:
        mean = values.double().mean(dim=0)
        return (mean + weights @ (values - mean.to(values))).to(values)

    return training.map(lambda field: _in_blocks(draw, field, count))


def mean_state(states: State) -> State:
    """The mean of states, as one state."""

    def mean(values: torch.Tensor) -> torch.Tensor:
        return values.double().mean(dim=0, keepdim=True).to(values)

    return states.map(lambda field: _in_blocks(mean, field, 1))


def _in_blocks(
    function: Callable[[torch.Tensor], torch.Tensor], field: torch.Tensor, count: int
) -> torch.Tensor:
    """Fields `count ...` that `function` makes of `field` `b ...`, from blocks `b n` of values."""
    values = field.flatten(1)
    result = torch.empty(count, values.shape[1], dtype=field.dtype)
    size = max(BLOCK_BYTES // (DOUBLE * len(field)), 1)
    for block, out in zip(values.split(size, dim=1), result.split(size, dim=1), strict=True):
        out.copy_(function(block))
    return result.view(count, *field.shape[1:])
