"""From constraints on the physical state to a correction of a denoising step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from data.errors import UserError
from guidance.decoding import Decoder
from guidance.energy import WeightedTerm, energy_of
from guidance.pulls import PULLS, Pull, ThroughNetwork
from guidance.strength import Constant, Strength

HALF_PI = math.pi / 2


class Step(NamedTuple):
    """A denoising step's place in the chain: `number`, from 0, of `steps`, and what noise is left.

    before, after: amplitude of the noise in a sample of variance 1, before and after the step
    """

    number: int
    steps: int
    before: float
    after: float

    @classmethod
    def even(cls, number: int, steps: int) -> Step:
        """A step of a chain whose steps are alike in diffusion time."""
        return cls(number, steps, *(math.cos(HALF_PI * k / steps) for k in (number, number + 1)))

    @property
    def time_before(self) -> float:
        """Diffusion time before the step: 1 is noise, 0 the end (see `progress`)."""
        return math.asin(min(self.before, 1.0)) / HALF_PI

    @property
    def progress(self) -> float:
        """Share of the diffusion time that is done after the step: 0 at noise, 1 at the end.

        The angle between sample and noise, in right angles: the time of a cosine schedule. It says
        how clear an estimate is, whatever the scheduler and however it spaces its steps.
        """
        return math.acos(min(self.after, 1.0)) / HALF_PI


@dataclass(frozen=True)
class Descent:
    """How latents are moved towards states where the terms' energy E vanishes.

    Latents z are decoded and moved against a direction d (by default the gradient g = dE/dz) by the
    Polyak step 2 E / (g . d) (Polyak 1987), which reaches the minimum of a quadratic well in one go
    where that minimum is 0 and the well is round. Decoders cannot reach every state, so the minimum
    may lie above 0 and the step go too far: `damped` fits a parabola through the energy at both
    ends and stops at its bottom. Everything is per sample.

    by: where the direction comes from, see `guidance.pulls`
    inner_steps: steps per denoising step, at most
    satisfied: energy at which a sample is left alone; when all are, no further step is taken
    step_cap: longest step, as the root mean square over a sample's latent elements; latents are
        standardised, so 0.15 is 0.15 standard deviations
    relaxation: factor on the Polyak step; 0.5 for energies that are linear rather than quadratic
    damped: whether to look where a step leads (one more decoding, without gradient) and shorten it
    """

    by: str = "decoder"
    inner_steps: int = 1
    satisfied: float = 0.0
    step_cap: float = 0.03
    relaxation: float = 1.0
    damped: bool = False

    def __post_init__(self) -> None:
        if self.by not in PULLS:
            raise UserError(f"Guidance by {self.by!r} is unknown; write one of {', '.join(PULLS)}.")
        if self.step_cap <= 0 or self.relaxation <= 0 or self.inner_steps < 1:
            raise UserError(
                f"Guidance was given step_cap {self.step_cap}, relaxation {self.relaxation} and "
                f"inner_steps {self.inner_steps}; the first two must be above 0, the last at "
                "least 1."
            )

    def __call__(
        self,
        latents: Tensor,
        terms: Sequence[WeightedTerm],
        decoder: Decoder,
        *,
        through_network: ThroughNetwork | None = None,
        strength: Strength | None = None,
        at: Step | None = None,
    ) -> Tensor:
        """The latents `b c h w`, moved; a new, detached tensor.

        strength: share of each step that is taken at this place `at` of the chain; all of it if not
            given. Works under `torch.no_grad` and `torch.inference_mode`.
        """
        with torch.inference_mode(False):
            moved = latents.detach().clone()
            for _ in range(self.inner_steps):
                pull = PULLS[self.by](terms, moved, decoder, through_network)
                if (pull.energy <= self.satisfied).all():
                    break
                share = 1.0 if strength is None else strength(pull.energy, at)
                moved = moved - share * self._step(moved, pull, terms, decoder).to(moved)
        return moved

    @torch.no_grad()
    def _step(
        self, latents: Tensor, pull: Pull, terms: Sequence[WeightedTerm], decoder: Decoder
    ) -> Tensor:
        """The step `b c h w` to subtract from the latents."""
        length = 2 * self.relaxation * _ratio(pull.energy, pull.slope).clamp(min=0)
        length = torch.where(pull.energy <= self.satisfied, 0.0, length)
        rms = pull.direction.flatten(1).square().mean(1).sqrt()
        length = length.clamp(max=_ratio(torch.full_like(rms, self.step_cap), rms))
        step = pull.direction * _per_sample(length)
        if self.damped:
            after = energy_of(terms, latents - step.to(latents), decoder)
            step = step * _per_sample(_damping(pull.energy, after, pull.slope * length))
        return step


@dataclass(frozen=True)
class Guide:
    """Pulls clean estimates towards states where the terms' energy vanishes.

    No scheduler is involved: what a step goes on from is the corrected estimate.

    terms: the constraints and their weights
    start: share of the diffusion time, 0 at noise and 1 at the end (`Step.progress`), before which
        nothing is done: early estimates are blurred, and later ones undo what was done to them
    every: guide each so-many-th step from the start on; the last step always
    descent: how the estimate is moved
    """

    terms: Sequence[WeightedTerm]
    start: float = 0.6
    every: int = 1
    descent: Descent = field(default_factory=Descent)

    def __post_init__(self) -> None:
        check_start(self.start)
        if self.every < 1:
            raise UserError(f"Guidance was to act every {self.every} steps; give 1 or more.")

    @property
    def through_network(self) -> bool:
        """Whether `correct` asks for the way through the network."""
        return self.descent.by == "network"

    def acts_at(self, at: Step) -> bool:
        """Whether this step is guided."""
        due = (at.steps - 1 - at.number) % self.every == 0
        return due and at.progress >= self.start and bool(_counting(self.terms, at))

    def correct(
        self,
        clean_estimate: Tensor,
        decoder: Decoder,
        *,
        at: Step,
        through_network: ThroughNetwork | None = None,
    ) -> Tensor:
        """The clean estimate `b c h w`, moved towards the constraints; a new, detached tensor.

        decoder: from standardised latents `b c h w` to physical states; its parameters receive no
            gradient. It decodes once per inner step, and once more if damped.
        through_network: for `by="network"`: from a gradient with respect to the clean estimate to
            one with respect to the noisy sample

        Where the step is not guided the estimate itself comes back and nothing is decoded.
        """
        if not self.acts_at(at):
            return clean_estimate
        terms = _counting(self.terms, at)
        return self.descent(clean_estimate, terms, decoder, through_network=through_network)


@dataclass(frozen=True)
class SampleGuide:
    """Pulls the *noisy* sample after each step, as the published methods do.

    For comparison: white noise makes every stable column unstable, so that constraints of single
    columns mean little before the end.

    terms, start: as in `Guide`
    strength: share of a step that is taken, over the chain
    descent: how the sample is moved; not through the network
    """

    terms: Sequence[WeightedTerm]
    start: float = 0.0
    strength: Strength = field(default_factory=Constant)
    descent: Descent = field(default_factory=Descent)

    def __post_init__(self) -> None:
        check_start(self.start)
        if self.descent.by == "network":
            raise UserError(
                "Guidance of the noisy sample does not go through the network; take 'decoder'."
            )

    def acts_at(self, at: Step) -> bool:
        """Whether the sample is moved after this step."""
        return at.progress >= self.start and bool(_counting(self.terms, at))

    def for_a_chain(self) -> SampleGuide:
        """The guide for one chain, whose strength starts anew."""
        return replace(self, strength=self.strength.fresh())

    def correct(self, sample: Tensor, decoder: Decoder, *, at: Step) -> Tensor:
        """The noisy sample `b c h w` after the step `at`, of variance 1, moved."""
        if not self.acts_at(at):
            return sample
        terms = _counting(self.terms, at)
        return self.descent(sample, terms, decoder, strength=self.strength, at=at)


def _counting(terms: Sequence[WeightedTerm], at: Step) -> list[WeightedTerm]:
    return [term for term in terms if term.counts_at(at.progress)]


def check_start(start: float) -> None:
    """Raises UserError unless `start` is a share of the chain."""
    if not 0 <= start <= 1:
        raise UserError(f"Guidance starts at {start}; give a share of the chain's time, 0 to 1.")


def _damping(energy: Tensor, after: Tensor, descent: Tensor) -> Tensor:
    """Share of a step, at most 1, at which the parabola through its two ends is lowest, `b`.

    energy, after: at the step's beginning and end; descent: slope along the step times its length.
    """
    curvature = after - energy + descent
    share = _ratio(descent, 2 * curvature).clamp(max=1)
    return torch.where(curvature > 0, share, 1.0)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, 0 where the denominator is 0."""
    safe = torch.where(denominator == 0, 1.0, denominator)
    return torch.where(denominator == 0, 0.0, numerator / safe)


def _per_sample(values: Tensor) -> Tensor:
    """`b` to `b 1 1 1`."""
    return values[:, None, None, None]
