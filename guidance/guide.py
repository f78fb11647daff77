"""Guides: corrections of denoising steps by constraints on the physical state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from guidance.energy import Decoder, WeightedTerm, energy_and_gradient
from guidance.settings import Steering
from guidance.steps import Constant, DualAscent, Rising, Step, Strength


class Guide:
    """The hooks that a sampler calls in each step of a chain. This base class changes nothing.

    A hook that changes nothing returns the same tensor object.
    """

    def for_a_chain(self) -> Guide:
        """A guide in its initial state, for a new chain."""
        return self

    def correct_estimate(self, estimate: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The clean estimate `b c h w` with which the step continues."""
        return estimate

    def correct_sample(self, sample: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The noisy sample `b c h w` after the step, of variance 1."""
        return sample


@dataclass(frozen=True)
class SteeringGuide(Guide):
    """A guide towards states in which the energy of the constraints vanishes."""

    terms: Sequence[WeightedTerm]
    steering: Steering = field(default_factory=Steering)

    def acts_at(self, at: Step) -> bool:
        """Whether this step is guided."""
        return bool(self.terms_at(at))

    def terms_at(self, at: Step) -> list[WeightedTerm]:
        """The terms that act in this step; empty if it is not guided."""
        due = (at.steps - 1 - at.number) % self.steering.every == 0
        if not due or at.progress < self.steering.start:
            return []
        return [term for term in self.terms if term.window.holds(at)]


@dataclass(frozen=True)
class EstimateGuide(SteeringGuide):
    """Corrects the clean estimate, independently of the scheduler."""

    def correct_estimate(self, estimate: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The clean estimate, moved towards the constraints; a new, detached tensor.

        decoder: from standardised latents to physical states; its parameters receive no gradient

        Returns the estimate itself, without decoding, if the step is not guided.
        """
        terms = self.terms_at(at)
        return descend(estimate, terms, decoder, steering=self.steering) if terms else estimate


@dataclass(frozen=True)
class SampleGuide(SteeringGuide):
    """Corrects the *noisy* sample after each step, as the published methods do.

    For comparison only: white noise makes every column unstable, so constraints on single columns
    are of little use before the end of the chain.

    strength: from the steering's `strength` and `rate`
    """

    strength: Strength = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.steering))

    def for_a_chain(self) -> SampleGuide:
        """A copy with the initial strength."""
        return replace(self)

    def correct_sample(self, sample: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The corrected noisy sample of variance 1; the sample itself if the step is not guided."""
        terms = self.terms_at(at)
        if not terms:
            return sample
        fraction = partial(self.strength, at=at)
        return descend(sample, terms, decoder, steering=self.steering, fraction=fraction)


def descend(
    latents: Tensor,
    terms: Sequence[WeightedTerm],
    decoder: Decoder,
    *,
    steering: Steering,
    fraction: Callable[[Tensor], float] | None = None,
) -> Tensor:
    """Latents `b c h w` after steps that reduce the terms' energy E; a new, detached tensor.

    Each step is the Polyak step 2 E / |g|^2 against the gradient g = dE/dz (Polyak 1987), which
    reaches the minimum of an isotropic quadratic with minimum 0 in one step. Decoders cannot reach
    every state, so the minimum may be above 0 and the step too long; its rms over a sample's latent
    values is therefore limited to `steering.step_cap`. Steps are computed per sample.

    fraction: part of each step to take, from the samples' energies `b`; default: 1

    Works under `torch.no_grad` and `torch.inference_mode`.
    """
    with torch.inference_mode(False):
        moved = latents.detach().clone()
        for _ in range(steering.inner_steps):
            energy, gradient = energy_and_gradient(terms, moved, decoder)
            if (energy <= 0).all():
                break
            step = _capped_step(energy, gradient.float(), cap=steering.step_cap)
            moved = moved - (fraction(energy) if fraction else 1.0) * step.to(moved)
    return moved


@torch.no_grad()
def _capped_step(energy: Tensor, gradient: Tensor, *, cap: float) -> Tensor:
    """The Polyak step `b c h w`, to be subtracted."""
    squares = (gradient * gradient).flatten(1)
    length = 2 * _ratio(energy, squares.sum(1))
    rms = squares.mean(1).sqrt()
    length = length.clamp(max=_ratio(torch.full_like(rms, cap), rms))
    return gradient * length[:, None, None, None]


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, 0 where the denominator is 0."""
    safe = torch.where(denominator == 0, 1.0, denominator)
    return torch.where(denominator == 0, 0.0, numerator / safe)


def _strength(steering: Steering) -> Strength:
    """The initial strength of a chain."""
    if steering.strength == "rising":
        return Rising(steering.rate)
    if steering.strength == "dual_ascent":
        return DualAscent(steering.rate)
    return Constant(steering.rate)
