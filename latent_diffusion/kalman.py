"""Linear algebra of Kalman updates of latents, in the space of the observations.

All in double precision: observations with small errors make the systems ill-conditioned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class SeenPrior:
    """A prior of latents as observations see it: H C H' + R is solved in their space.

    jacobian: H; covariance: C; errors: R, `n n`; spread: added to the covariance of each sample
    """

    jacobian: Jacobian
    covariance: Spectral
    errors: Tensor
    spread: Spread | None = None

    def step(self, innovation: Tensor) -> Tensor:
        """C H' (H C H' + R)^-1 d, `b d`, for innovations d `b n`."""
        weights, moved = self._solved(innovation)
        along, across = self.covariance.along, self.covariance.across
        step = self.jacobian.increments(weights, along, across)
        return step if self.spread is None else step + moved @ self.spread.directions

    def weights(self, innovation: Tensor) -> Tensor:
        """(H C H' + R)^-1 d, `b n`, for innovations d `b n`."""
        return self._solved(innovation)[0]

    def _solved(self, innovation: Tensor) -> tuple[Tensor, Tensor]:
        """The weights `b n`, and the amplitudes `b m` of the spread's directions.

        The spread has few directions, so that it corrects the common solution (Woodbury).
        """
        weights = torch.cholesky_solve(innovation.T, self._root).T
        if self.spread is None:
            return weights, weights[:, :0]
        visible = self.spread.directions @ self.jacobian.rows.T  # m n
        solved = torch.cholesky_solve(visible.T, self._root).T
        mixing = self.spread.weights  # b m j
        inner = mixing.mT @ (visible @ solved.T) @ mixing  # b j j
        inner = inner + torch.eye(inner.shape[-1]).to(inner)
        projected = mixing.mT @ (visible @ weights.T).T[..., None]  # b j 1
        moved = (mixing @ torch.linalg.solve(inner, projected))[..., 0]  # b m
        return weights - moved @ solved, moved

    @cached_property
    def _root(self) -> Tensor:
        seen = self.jacobian.covariance(self.covariance.along, self.covariance.across)
        return torch.linalg.cholesky(seen + self.errors)
