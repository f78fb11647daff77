"""What observations say about the conditions of states, and about their mean.

A conditional model's latents are the mean at their conditions, which has a predictive normal
distribution, plus a residual. With the residual's covariance and the errors of the observations,
the probability of the observations given conditions is that of a normal distribution, and so is
the distribution of the mean given both (e.g. Bishop 2006, equations 2.113 to 2.117). The update of
`latent_diffusion.posterior` then needs to move the residual only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import qmc
from torch import Tensor

from autoencoder.passing import passing_at_once
from data.conditions import EQUILIBRIUM, Conditions
from data.parameters import AGE
from latent_diffusion.drawn import Frame
from latent_diffusion.expectation import Expectation
from latent_diffusion.noise import member_generator
from latent_diffusion.posterior import LatentPosterior

AT_ONCE = 32  # means that are decoded together, if they are not large
CANDIDATES = 1024  # in each round; a power of 2, as Sobol's sequence requires
ROUNDS = 4  # of candidates, each in the range of the probable ones of the round before
IMPROBABLE = 8.0  # below the largest logarithm of the probability
FEWEST_PROBABLE = 32  # candidates that tell the range of the next round
FloatArray = NDArray[np.float64]


class Weighted(NamedTuple):
    """Conditions `b` and their posterior probabilities `b`."""

    conditions: Conditions
    probability: FloatArray

    def drawn(self, members: int, *, seed: int) -> Conditions:
        """Conditions of `members` states by their probability, in random order.

        Systematic resampling: a probability p is drawn p times the number of members, but for
        rounding.
        """
        generator = member_generator(seed, -1)
        start = float(torch.rand((), generator=generator, dtype=torch.float64))
        places = (np.arange(members) + start) / members
        rows = np.searchsorted(self.probability.cumsum(), places)
        order = torch.randperm(members, generator=generator).numpy()
        return self.conditions.at(rows.clip(max=len(self.probability) - 1)[order])


class _Seen(NamedTuple):
    """What the observations say about the mean at conditions `b`, in units of their errors.

    misfit: `b`, squared, of the expected mean; pull: `b j`, on the uncertain amplitudes of the
    mean; precision: `b j j`, of these amplitudes given the observations
    """

    misfit: Tensor
    pull: Tensor
    precision: Tensor

    @property
    def amplitudes(self) -> Tensor:
        """The expected amplitudes `b j`, in standard deviations of the predictive distribution."""
        return torch.linalg.solve(self.precision, self.pull[..., None])[..., 0]


@dataclass(frozen=True)
class Inference:
    """Draws means, and conditions where they are unknown, from their posterior.

    posterior: of the residuals
    trust: exponent of the probability of the observations in that of conditions. Errors of the
        expectation and of the decoder are common to many observations, so that these say less than
        as many independent ones would
    """

    posterior: LatentPosterior
    expectation: Expectation
    trust: float = 1.0

    @torch.no_grad()
    def frame(self, conditions: Conditions, generators: Sequence[torch.Generator]) -> Frame:
        """Where residuals belong: the mean at each state's conditions, given the observations.

        The expected one for conditions whose mean is certain.
        """
        expectation = self.expectation
        mean = expectation.mean(conditions)
        if not conditions.certain:
            mean = mean + expectation.along(self._amplitudes(conditions, generators))
        return Frame(mean, expectation.scale, expectation.features(conditions), conditions)

    @torch.no_grad()
    def log_probability(self, conditions: Conditions) -> FloatArray:
        """Logarithm of the probability of the observations at conditions `b`, up to a constant."""
        parts, at_once = [], passing_at_once(self.posterior.codec, AT_ONCE)
        for start in range(0, len(conditions), at_once):
            rows = range(start, min(start + at_once, len(conditions)))
            seen = self._seen(conditions.at(rows))
            misfit = seen.misfit - (seen.amplitudes * seen.pull).sum(dim=1)
            parts.append(-0.5 * (misfit + torch.logdet(seen.precision)))
        return torch.cat(parts).cpu().numpy()

    def conditions(self, known: Mapping[str, float], *, seed: int) -> Weighted:
        """Candidates for the conditions, with their probabilities given the observations.

        A priori every value in the range of the training members is equally probable, on the scale
        of the parameter, and so is every season; states are at equilibrium. Candidates fill the
        range evenly, and in further rounds the part of it in which the observations are probable.

        known: conditions that are known, by name
        """
        box = _Box.of(self.expectation, known)
        for number in range(ROUNDS):
            points = box.points(seed=seed + number)
            conditions = box.conditions(points)
            log_probability = self.trust * self.log_probability(conditions)
            if not box.free:
                break
            box = box.about(points, log_probability)
        weight = np.exp(log_probability - log_probability.max())
        return Weighted(conditions, weight / weight.sum())

    def _amplitudes(self, conditions: Conditions, generators: Sequence[torch.Generator]) -> Tensor:
        """Amplitudes `b t k` of the patterns of the mean, drawn given the observations."""
        deviations = self.expectation.deviations(conditions)
        seen = self._seen(conditions)
        size = seen.pull.shape[1]
        noise = torch.stack(
            [torch.randn(size, generator=one, dtype=torch.float64) for one in generators]
        ).to(seen.pull)
        root = torch.linalg.cholesky(seen.precision)  # the covariance is (root root')^-1
        spread = torch.linalg.solve_triangular(root.mT, noise[..., None], upper=True)[..., 0]
        return (seen.amplitudes + spread).view_as(deviations) * deviations.to(spread)

    def _seen(self, conditions: Conditions) -> _Seen:
        posterior, expectation = self.posterior, self.expectation
        root, patterns, products = self._whitened
        state = posterior.codec.decode(expectation.mean(conditions))
        innovation = torch.linalg.solve_triangular(
            root, posterior.evidence.innovation(state).T, upper=False
        )
        deviations = expectation.deviations(conditions).flatten(1).to(products)
        return _Seen(
            innovation.square().sum(dim=0),
            deviations * (innovation.T @ patterns),
            deviations[:, :, None] * products * deviations[:, None, :]
            + torch.eye(len(products)).to(products),
        )

    @cached_property
    def _whitened(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is observed of the patterns, in units of the residuals and errors together.

        Root `n n` of their covariance, the patterns `n j` in its units, and their products `j j`.
        """
        root = torch.linalg.cholesky(self.posterior.seen_covariance())
        flat = self.expectation.patterns.flatten(0, 1).flatten(1).double()
        seen = self.posterior.jacobian_of_latents @ flat.T
        patterns = torch.linalg.solve_triangular(root, seen, upper=False)
        return root, patterns, patterns.T @ patterns


@dataclass(frozen=True)
class _Box:
    """A range of the unknown conditions.

    free: their names; low, high: `p`, of the logarithm where that is the scale; known: the others
    """

    expectation: Expectation
    free: list[str]
    low: FloatArray
    high: FloatArray
    known: Mapping[str, float]

    @classmethod
    def of(cls, expectation: Expectation, known: Mapping[str, float]) -> _Box:
        space = expectation.space
        given = ({AGE: EQUILIBRIUM} if space.age else {}) | dict(known)
        free = [name for name in space.names if name not in given]
        bounds = np.array([space.ranges.get(name, (0.0, 1.0)) for name in free]).reshape(-1, 2)
        logarithmic = [space.scales.get(name) == "log" for name in free]
        bounds[logarithmic] = np.log(bounds[logarithmic])
        return cls(expectation, free, bounds[:, 0], bounds[:, 1], given)

    def points(self, *, seed: int) -> FloatArray:
        """Points `b p` that fill the box evenly; one if nothing is unknown."""
        if not self.free:
            return np.zeros((1, 0))
        even = qmc.Sobol(len(self.free), seed=seed).random(CANDIDATES)
        return self.low + even * (self.high - self.low)

    def conditions(self, points: FloatArray) -> Conditions:
        """Conditions at points `b p`."""
        space = self.expectation.space
        values = {name: np.full(len(points), value) for name, value in self.known.items()}
        for column, name in zip(points.T, self.free, strict=True):
            value = np.exp(column) if space.scales.get(name) == "log" else column
            # Rounding must not leave the range of the members.
            values[name] = value.clip(*space.ranges.get(name, (0.0, 1.0)))
        return Conditions(values, units=space.units)

    def about(self, points: FloatArray, log_probability: FloatArray) -> _Box:
        """The part of the box that holds the probable points, and half a gap more on each side."""
        probable = log_probability > log_probability.max() - IMPROBABLE
        probable[np.argsort(log_probability)[-FEWEST_PROBABLE:]] = True
        gap = (self.high - self.low) * len(points) ** (-1 / len(self.free))
        low = np.maximum(points[probable].min(axis=0) - 0.5 * gap, self.low)
        high = np.minimum(points[probable].max(axis=0) + 0.5 * gap, self.high)
        return replace(self, low=low, high=high)
