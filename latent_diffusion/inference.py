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
from einops import einsum
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
LINEARISATIONS = 4  # of the decoder, about drawn means
MOST_PRECISIONS = 2**26  # values of the matrices that are held together
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


class _Whitened(NamedTuple):
    """What is observed of the directions in which the mean is uncertain.

    root: `n n`, of the covariance of residuals and errors together; visible: the directions `n j`
    in its units; products: of these, `j j`
    """

    root: Tensor
    visible: Tensor
    products: Tensor


@dataclass(frozen=True)
class Inference:
    """Draws means, and conditions where they are unknown, from their posterior.

    posterior: of the residuals
    tapers: `a h w`, localise the mean's predictive covariance, see `data.localisation.tapers`. The
        mean of a new climate differs from the expected one in more ways than those in which the
        training members differ from each other. With tapers its error need not follow these
        patterns across the whole ocean.
    trust: exponent of the probability of the observations in that of conditions. Errors of the
        expectation and of the decoder are common to many observations, so that these say less than
        as many independent ones would
    """

    posterior: LatentPosterior
    expectation: Expectation
    tapers: Tensor | None = None
    trust: float = 1.0

    @torch.no_grad()
    def frame(self, conditions: Conditions, generators: Sequence[torch.Generator]) -> Frame:
        """Where residuals belong: the mean at each state's conditions, given the observations.

        The expected one for conditions whose mean is certain.
        """
        expectation = self.expectation
        mean = expectation.mean(conditions)
        if not conditions.certain:
            mean = mean + self._errors(conditions, generators)
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
        box = ConditionBox.of(self.expectation, known)
        for number in range(ROUNDS):
            points = box.points(seed=seed + number)
            conditions = box.conditions(points)
            log_probability = self.trust * self.log_probability(conditions)
            if not box.free:
                break
            box = box.about(points, log_probability)
        weight = np.exp(log_probability - log_probability.max())
        return Weighted(conditions, weight / weight.sum())

    def _errors(self, conditions: Conditions, generators: Sequence[torch.Generator]) -> Tensor:
        """What drawn means `b c h w` differ by from the expected ones, given the observations."""
        at_once = max(MOST_PRECISIONS // len(self._whitened.products) ** 2, 1)
        parts = []
        for start in range(0, len(conditions), at_once):
            rows = range(start, min(start + at_once, len(conditions)))
            parts.append(self._drawn(conditions.at(rows), [generators[row] for row in rows]))
        return torch.cat(parts)

    def _drawn(self, conditions: Conditions, generators: Sequence[torch.Generator]) -> Tensor:
        """Errors `b c h w` of the mean at conditions `b`, one for each generator.

        Each solves the regression whose observations and prior mean are drawn with their errors:
        for a linear decoder, a sample of the posterior (randomised maximum likelihood; Ba et al.
        2021, arXiv 2101.03612). The decoder's departure from its linear path is taken into account
        by a few iterations of Gauss and Newton.
        """
        visible, mean = self._whitened.visible, self.expectation.mean(conditions)
        deviations = self._deviations(conditions)
        values, directions = visible.shape
        prior = _normal(generators, directions).to(visible)
        errors = _normal(generators, values).to(visible)
        root = torch.linalg.cholesky(self._precision(deviations))
        amplitudes = torch.zeros_like(prior)
        for _ in range(LINEARISATIONS):
            innovation = self._innovation(mean + self._along(amplitudes))
            unexplained = innovation + errors + amplitudes @ visible.T
            pull = prior + deviations * (unexplained @ visible)
            amplitudes = deviations * torch.cholesky_solve(pull[..., None], root)[..., 0]
        return self._along(amplitudes)

    def _along(self, amplitudes: Tensor) -> Tensor:
        """Latents `b c h w` of amplitudes `b j` of the mean's uncertain directions."""
        terms, patterns = self.expectation.patterns.shape[:2]
        by_pattern = amplitudes.unflatten(1, (terms, patterns, -1))
        if self.tapers is None:
            return self.expectation.along(by_pattern[..., 0])
        local = einsum(by_pattern, self.tapers.to(by_pattern), "b t k a, a h w -> b t k h w")
        return self.expectation.along_locally(local)

    def _seen(self, conditions: Conditions) -> _Seen:
        innovation = self._innovation(self.expectation.mean(conditions))
        deviations = self._deviations(conditions)
        return _Seen(
            innovation.square().sum(dim=1),
            deviations * (innovation @ self._whitened.visible),
            self._precision(deviations),
        )

    def _innovation(self, latents: Tensor) -> Tensor:
        """Observed minus decoded values `b n`, in units of residuals and errors together."""
        posterior = self.posterior
        innovation = posterior.evidence.innovation(posterior.codec.decode(latents))
        return torch.linalg.solve_triangular(self._whitened.root, innovation.T, upper=False).T

    def _deviations(self, conditions: Conditions) -> Tensor:
        """Of the amplitudes of all directions, `b j`."""
        deviations = self.expectation.deviations(conditions).flatten(1).to(self._whitened.visible)
        copies = 1 if self.tapers is None else len(self.tapers)
        return deviations.repeat_interleave(copies, dim=1)

    def _precision(self, deviations: Tensor) -> Tensor:
        """Of the amplitudes in units of their `deviations` `b j`, given observations, `b j j`."""
        products = self._whitened.products
        own = torch.eye(len(products)).to(products)
        return deviations[:, :, None] * products * deviations[:, None, :] + own

    @cached_property
    def _whitened(self) -> _Whitened:
        root = torch.linalg.cholesky(self.posterior.seen_covariance())
        visible = torch.linalg.solve_triangular(root, self._visible(), upper=False)
        return _Whitened(root, visible, visible.T @ visible)

    def _visible(self) -> Tensor:
        """What the observations see of the patterns of the mean, `n j`; of each taper of each."""
        patterns = self.expectation.patterns.flatten(0, 1).double()  # j c h w
        rows = self.posterior.jacobian_of_latents
        if self.tapers is None:
            return rows @ patterns.flatten(1).T
        fields = rows.view(-1, *patterns.shape[1:])
        tapers = self.tapers.to(rows).flatten(1)
        parts = [(fields * pattern).sum(dim=1).flatten(1) @ tapers.T for pattern in patterns]
        return torch.cat(parts, dim=1)


def _normal(generators: Sequence[torch.Generator], size: int) -> Tensor:
    """Standard normal numbers `b size` float64, a row for each generator."""
    return torch.stack(
        [torch.randn(size, generator=one, dtype=torch.float64) for one in generators]
    )


@dataclass(frozen=True)
class ConditionBox:
    """A range in which the unknown conditions are known to lie.

    free: their names; low, high: `p`, of the logarithm where that is the scale; known: the others
    """

    expectation: Expectation
    free: list[str]
    low: FloatArray
    high: FloatArray
    known: Mapping[str, float]

    @classmethod
    def of(cls, expectation: Expectation, known: Mapping[str, float]) -> ConditionBox:
        """The range of the training members, at equilibrium; known: conditions by name."""
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

    def about(self, points: FloatArray, log_probability: FloatArray) -> ConditionBox:
        """The part of the box that holds the probable points, and half a gap more on each side."""
        probable = log_probability > log_probability.max() - IMPROBABLE
        probable[np.argsort(log_probability)[-FEWEST_PROBABLE:]] = True
        gap = (self.high - self.low) * len(points) ** (-1 / len(self.free))
        low = np.maximum(points[probable].min(axis=0) - 0.5 * gap, self.low)
        high = np.minimum(points[probable].max(axis=0) + 0.5 * gap, self.high)
        return replace(self, low=low, high=high)
