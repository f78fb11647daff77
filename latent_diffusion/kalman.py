"""Linear algebra of Kalman updates of latents, in the space of the observations.

All in double precision: observations with small errors make the systems ill-conditioned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Jacobian:
    """A linear map from latents `d` to `n` observed values, and what updates need of it.

    rows: `n d`; patterns: orthonormal `k d`; along: the map of the patterns, `n k`; gram: `n n`,
    products of the rows
    """

    rows: Tensor
    patterns: Tensor
    along: Tensor
    gram: Tensor

    @classmethod
    def of(cls, rows: Tensor, patterns: Tensor) -> Jacobian:
        """Of `rows` `n d` and orthonormal `patterns` `k d`."""
        rows, patterns = rows.double(), patterns.to(rows.device).double()
        return cls(rows, patterns, rows @ patterns.T, rows @ rows.T)

    def covariance(self, along: Tensor, across: Tensor) -> Tensor:
        """Covariance `n n` of the values for latents of a `Spectral` covariance."""
        return (self.along * (along - across)) @ self.along.T + across * self.gram

    def increments(self, weights: Tensor, along: Tensor, across: Tensor) -> Tensor:
        """C H' w `b d` for `weights` w `b n` and such a covariance C."""
        in_patterns = (weights @ self.along) * (along - across)
        return in_patterns @ self.patterns + across * (weights @ self.rows)


@dataclass(frozen=True)
class Spectral:
    """A covariance: the variance `along` `k` of each pattern, and `across` in other directions."""

    along: Tensor
    across: Tensor


@dataclass(frozen=True)
class Spread:
    """What latents `b` vary by beyond a common covariance.

    weights: `b m j`, of directions; directions: `m d`. The covariance of sample b is F'F, where
    F = weights' directions, `j d`.
    """

    weights: Tensor
    directions: Tensor


def kalman_step(
    innovation: Tensor,
    jacobian: Jacobian,
    covariance: Spectral,
    errors: Tensor,
    *,
    spread: Spread | None = None,
) -> Tensor:
    """C H' (H C H' + R)^-1 d, `b d`, for innovations d `b n` and errors R `n n`.

    spread: added to the covariance C of each sample
    """
    along, across = covariance.along, covariance.across
    seen = torch.linalg.cholesky(jacobian.covariance(along, across) + errors)
    weights = torch.cholesky_solve(innovation.T, seen).T
    if spread is None:
        return jacobian.increments(weights, along, across)
    visible = spread.directions @ jacobian.rows.T  # m n
    solved = torch.cholesky_solve(visible.T, seen).T
    inner = spread.weights.mT @ (visible @ solved.T) @ spread.weights  # b j j
    inner = inner + torch.eye(inner.shape[-1]).to(inner)
    projected = spread.weights.mT @ (visible @ weights.T).T[..., None]  # b j 1
    amplitude = torch.linalg.solve(inner, projected)  # F H' (H C H' + R)^-1 d, with F'F in C
    moved = (spread.weights @ amplitude)[..., 0]  # b m
    weights = weights - moved @ solved
    return jacobian.increments(weights, along, across) + moved @ spread.directions
