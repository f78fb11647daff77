"""From constraints on the physical state to a correction of a denoising step."""

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
    """What a sampler asks in each step of a chain. By itself a guide changes nothing.

    A hook that changes nothing returns the very tensor that it was given.
    """

    def for_a_chain(self) -> Guide:
        """The guide at the beginning of a chain."""
        return self

    def correct_estimate(self, estimate: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The clean estimate `b c h w` that the step goes on from."""
        return estimate

    def correct_sample(self, sample: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The noisy sample `b c h w` after the step, of variance 1."""
        return sample


@dataclass(frozen=True)
class SteeringGuide(Guide):
    """A guide that pulls towards states where the energy of constraints vanishes."""

    terms: Sequence[WeightedTerm]
    steering: Steering = field(default_factory=Steering)

    def acts_at(self, at: Step) -> bool:
        """Whether this step is guided."""
        return bool(self.terms_at(at))

    def terms_at(self, at: Step) -> list[WeightedTerm]:
        """The terms that steer this step; none where it is not guided."""
        due = (at.steps - 1 - at.number) % self.steering.every == 0
        if not due or at.progress < self.steering.start:
            return []
        return [term for term in self.terms if term.window.holds(at)]


@dataclass(frozen=True)
class EstimateGuide(SteeringGuide):
    """Pulls clean estimates.

    No scheduler is involved: what a step goes on from is the corrected estimate.
    """

    def correct_estimate(self, estimate: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The clean estimate, moved towards the constraints; a new, detached tensor.

        decoder: from standardised latents to physical states; its parameters receive no gradient

        Where the step is not guided the estimate itself comes back and nothing is decoded.
        """
        terms = self.terms_at(at)
        return descend(estimate, terms, decoder, steering=self.steering) if terms else estimate


@dataclass(frozen=True)
class SampleGuide(SteeringGuide):
    """Pulls the *noisy* sample after each step, as the published methods do.

    For comparison: white noise makes every stable column unstable, so that constraints of single
    columns mean little before the end.

    strength: made of the steering's `strength` and `rate`
    """

    strength: Strength = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.steering))

    def for_a_chain(self) -> SampleGuide:
        """The guide with a strength that starts anew."""
        return replace(self)

    def correct_sample(self, sample: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The noisy sample of variance 1, moved; itself where the step is not guided."""
        terms = self.terms_at(at)
        if not terms:
            return sample
        share = partial(self.strength, at=at)
        return descend(sample, terms, decoder, steering=self.steering, share=share)


def descend(
    latents: Tensor,
    terms: Sequence[WeightedTerm],
    decoder: Decoder,
    *,
    steering: Steering,
    share: Callable[[Tensor], float] | None = None,
) -> Tensor:
    """The latents `b c h w`, moved to where the terms' energy E is less; a new, detached tensor.

    They are moved against the gradient g = dE/dz by the Polyak step 2 E / |g|^2 (Polyak 1987),
    which reaches the minimum of a quadratic well in one go where that minimum is 0 and the well is
    round. Decoders cannot reach every state, so the minimum may lie above 0 and the step go too
    far: it has a largest length, the root mean square over a sample's latent elements, that is
    `steering.step_cap`. Everything is per sample.

    share: the share of a step that is taken, from the samples' energies `b`; all of it if not
        given. Works under `torch.no_grad` and `torch.inference_mode`.
    """
    with torch.inference_mode(False):
        moved = latents.detach().clone()
        for _ in range(steering.inner_steps):
            energy, gradient = energy_and_gradient(terms, moved, decoder)
            if (energy <= 0).all():
                break
            step = _capped_step(energy, gradient.float(), cap=steering.step_cap)
            moved = moved - (share(energy) if share else 1.0) * step.to(moved)
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
    """The strength at the beginning of a chain."""
    if steering.strength == "rising":
        return Rising(steering.rate)
    if steering.strength == "dual_ascent":
        return DualAscent(steering.rate)
    return Constant(steering.rate)
