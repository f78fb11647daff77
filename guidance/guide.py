"""From constraints on the physical state to a correction of the clean estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import UserError
from data.state import State
from guidance.constraints import Term

Decode = Callable[[Tensor], State]


@dataclass(frozen=True)
class WeightedTerm:
    """A constraint and the weight of its energy in the sum; only the ratios of weights matter."""

    term: Term
    weight: float = 1.0

    def __call__(self, state: State) -> Tensor:
        return self.weight * self.term(state)


@dataclass(frozen=True)
class Guide:
    """Pulls clean estimates towards states where the terms' energy E vanishes.

    Late in the chain each clean estimate z is decoded, and moved against g = dE/dz by the Polyak
    step 2 E / |g|^2 (Polyak 1987), which reaches the minimum of a quadratic well in one go where
    that minimum is 0 and the well is round. Decoders cannot reach every state, so the minimum may
    lie above 0 and the step go too far: `damped` fits a parabola through the energy at both ends
    and stops at its bottom. Everything is per sample, and no scheduler is involved.

    terms: the constraints and their weights
    start: share of the chain, 0 at noise and 1 at the end, before which nothing is done: early
        estimates are blurred, and later ones undo what was done to them
    step_cap: longest step, as the root mean square over a sample's latent elements; latents are
        standardised, so 0.15 is 0.15 standard deviations
    inner_steps: gradient steps per denoising step
    relaxation: factor on the Polyak step; 0.5 for energies that are linear rather than quadratic
    damped: whether to look where a step leads (one more decoding, without gradient) and shorten it
    """

    terms: Sequence[WeightedTerm]
    start: float = 0.6
    step_cap: float = 0.15
    inner_steps: int = 1
    relaxation: float = 1.0
    damped: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 1:
            raise UserError(f"Guidance starts at {self.start}; give a share of the chain, 0 to 1.")
        if self.step_cap <= 0 or self.relaxation <= 0 or self.inner_steps < 1:
            raise UserError(
                f"Guidance was given step_cap {self.step_cap}, relaxation {self.relaxation} and "
                f"inner_steps {self.inner_steps}; the first two must be above 0, the last at "
                "least 1."
            )

    def correct(self, clean_estimate: Tensor, decode: Decode, *, progress: float) -> Tensor:
        """The clean estimate `b c h w`, moved towards the constraints; a new, detached tensor.

        decode: standardised latents `b c h w` to a physical `State`, differentiable; its
            parameters receive no gradient. Called 1 to 2 times per inner step (see `damped`).
        progress: share of the chain that is done. Before `start` the estimate itself comes back
            and nothing is decoded. Works under `torch.no_grad` and `torch.inference_mode`.
        """
        if progress < self.start or not self.terms:
            return clean_estimate
        with torch.inference_mode(False):
            corrected = clean_estimate.detach().clone()
            for _ in range(self.inner_steps):
                corrected = corrected - self._step(corrected, decode)
        return corrected

    def energy(self, state: State) -> Tensor:
        """The weighted sum of the terms' energies, `b`, dimensionless."""
        return torch.stack([term(state) for term in self.terms]).sum(0)

    def _step(self, estimate: Tensor, decode: Decode) -> Tensor:
        """The step `b c h w` to subtract from the estimate."""
        with torch.enable_grad():
            variable = estimate.detach().requires_grad_()
            energy = self.energy(decode(variable))
            (gradient,) = torch.autograd.grad(energy.sum(), variable)
        with torch.no_grad():
            energy, slope = energy.detach(), gradient.float()
            step = slope * _per_sample(2 * self.relaxation * _ratio(energy, _dot(slope, slope)))
            step = _cap(step, self.step_cap)
            if self.damped:
                after = self.energy(decode(estimate - step.to(estimate)))
                step = step * _per_sample(_damping(energy, after, _dot(slope, step)))
            return step.to(estimate)


def _damping(energy: Tensor, after: Tensor, descent: Tensor) -> Tensor:
    """Share of a step, at most 1, at which the parabola through its two ends is lowest, `b`.

    energy, after: at the step's beginning and end; descent: slope along the step times its length.
    """
    curvature = after - energy + descent
    share = _ratio(descent, 2 * curvature).clamp(max=1)
    return torch.where(curvature > 0, share, 1.0)


def _cap(step: Tensor, cap: float) -> Tensor:
    """Shorten each sample's step to a root mean square of at most `cap`."""
    rms = step.flatten(1).square().mean(1).sqrt()
    return step * _per_sample(_ratio(torch.full_like(rms, cap), rms, otherwise=1.0).clamp(max=1))


def _ratio(numerator: Tensor, denominator: Tensor, *, otherwise: float = 0.0) -> Tensor:
    """numerator / denominator, `otherwise` where the denominator is 0."""
    safe = torch.where(denominator == 0, 1.0, denominator)
    return torch.where(denominator == 0, otherwise, numerator / safe)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _per_sample(values: Tensor) -> Tensor:
    """`b` to `b 1 1 1`."""
    return values[:, None, None, None]
