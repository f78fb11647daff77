"""From constraints on the physical state to a correction of the clean estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from data.errors import UserError
from data.state import State
from guidance.constraints import LocalTerm, Term

Features = tuple[Tensor, ...]


class Decoder(Protocol):
    """What turns latents into states, in strips of rows so that no whole state need be held.

    `features` does what needs all latents; `cut` gives views of what one of the `strips` (for a
    batch of that size) needs of them, and `decode_strip` makes from these the rows of the ocean
    that the strip's attribute `rows` says. All are differentiable. A codec is a decoder.
    """

    def features(self, latents: Tensor) -> Features: ...

    def strips(self, batch: int) -> Sequence[Any]: ...

    def cut(self, features: Features, strip: Any) -> Features: ...

    def decode_strip(self, cut: Features, strip: Any) -> State: ...


@dataclass(frozen=True)
class WholeDecoder:
    """A decoder in one strip, from any function of latents `b c h w` to states."""

    decode: Callable[[Tensor], State]

    @property
    def rows(self) -> slice:
        return slice(None)

    def features(self, latents: Tensor) -> Features:
        return (latents,)

    def strips(self, batch: int) -> Sequence[WholeDecoder]:
        return [self]

    def cut(self, features: Features, strip: WholeDecoder) -> Features:
        return features

    def decode_strip(self, cut: Features, strip: WholeDecoder) -> State:
        return self.decode(*cut)


@dataclass(frozen=True)
class WeightedTerm:
    """A constraint and the weight of its energy in the sum; only the ratios of weights matter."""

    term: Term
    weight: float = 1.0

    def __call__(self, state: State) -> Tensor:
        return self.weight * self.term(state)

    @property
    def local(self) -> bool:
        """Whether the energy is a sum over strips of rows."""
        return isinstance(self.term, LocalTerm)

    def part(self, rows: slice) -> WeightedTerm:
        """The share of some rows in the energy of a local term."""
        assert isinstance(self.term, LocalTerm)
        return WeightedTerm(self.term.part(rows), self.weight)


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

    def correct(self, clean_estimate: Tensor, decoder: Decoder, *, progress: float) -> Tensor:
        """The clean estimate `b c h w`, moved towards the constraints; a new, detached tensor.

        decoder: from standardised latents `b c h w` to physical states; its parameters receive no
            gradient. It decodes 1 to 2 times per inner step (see `damped`).
        progress: share of the chain that is done. Before `start` the estimate itself comes back
            and nothing is decoded. Works under `torch.no_grad` and `torch.inference_mode`.
        """
        if progress < self.start or not self.terms:
            return clean_estimate
        with torch.inference_mode(False):
            corrected = clean_estimate.detach().clone()
            for _ in range(self.inner_steps):
                corrected = corrected - self._step(corrected, decoder)
        return corrected

    def _step(self, estimate: Tensor, decoder: Decoder) -> Tensor:
        """The step `b c h w` to subtract from the estimate."""
        energy, gradient = energy_and_gradient(self.terms, estimate, decoder)
        with torch.no_grad():
            slope = gradient.float()
            step = slope * _per_sample(2 * self.relaxation * _ratio(energy, _dot(slope, slope)))
            step = _cap(step, self.step_cap)
            if self.damped:
                after = _energy_of(self.terms, estimate - step.to(estimate), decoder)
                step = step * _per_sample(_damping(energy, after, _dot(slope, step)))
            return step.to(estimate)


def energy_and_gradient(
    terms: Sequence[WeightedTerm], estimate: Tensor, decoder: Decoder
) -> tuple[Tensor, Tensor]:
    """The weighted sum of the terms' energies `b` at latents `b c h w`, and its gradient there.

    Backpropagation stops at the decoder's features and goes on from there once, with what all
    strips sent back: no more than one strip is in memory at a time, and nothing is done twice.
    """
    with torch.enable_grad():
        latents = estimate.detach().requires_grad_()
        # A view, because features may be the latents themselves, and these no function of anything.
        features = decoder.features(latents.view_as(latents))
        held = tuple(feature.detach().requires_grad_() for feature in features)
        back = tuple(torch.zeros_like(feature) for feature in features)
        energies = []
        for terms_here, strips in _sharing(terms, decoder, batch=len(latents)):
            cuts = [decoder.cut(held, strip) for strip in strips]
            energy = _energy(terms_here, cuts, strips, decoder)
            parts = [part for cut in cuts for part in cut]
            gradients = torch.autograd.grad(energy.sum(), parts, materialize_grads=True)
            places = [place for strip in strips for place in decoder.cut(back, strip)]
            for place, gradient in zip(places, gradients, strict=True):
                place += gradient
            energies.append(energy.detach())
        (total,) = torch.autograd.grad(features, latents, back)
    return torch.stack(energies).sum(0), total


def _energy_of(terms: Sequence[WeightedTerm], estimate: Tensor, decoder: Decoder) -> Tensor:
    """The weighted sum of the terms' energies, `b`."""
    features = decoder.features(estimate)
    shares = [
        _energy(terms_here, [decoder.cut(features, strip) for strip in strips], strips, decoder)
        for terms_here, strips in _sharing(terms, decoder, batch=len(estimate))
    ]
    return torch.stack(shares).sum(0)


def _sharing(
    terms: Sequence[WeightedTerm], decoder: Decoder, *, batch: int
) -> Iterator[tuple[Sequence[WeightedTerm], Sequence[Any]]]:
    """Strips that are judged together, and the terms for them.

    Each strip on its own, or all at once where a term needs the whole state.
    """
    strips = decoder.strips(batch)
    if len(strips) == 1 or not all(term.local for term in terms):
        yield terms, strips
        return
    for strip in strips:
        yield [term.part(strip.rows) for term in terms], [strip]


def _energy(
    terms: Sequence[WeightedTerm],
    cuts: Sequence[Features],
    strips: Sequence[Any],
    decoder: Decoder,
) -> Tensor:
    """The weighted sum of the terms' energies `b` of the rows that the strips make up."""
    parts = [decoder.decode_strip(*pair) for pair in zip(cuts, strips, strict=True)]
    return _sum_of(terms, parts[0] if len(parts) == 1 else State.from_rows(parts))


def _sum_of(terms: Sequence[WeightedTerm], state: State) -> Tensor:
    return torch.stack([term(state) for term in terms]).sum(0)


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
