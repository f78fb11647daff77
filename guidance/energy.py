"""The weighted sum of constraints at latents, and its gradient there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from data.errors import UserError
from data.state import State
from guidance.constraints import LocalTerm, Term
from guidance.decoding import Decoder, Features


@dataclass(frozen=True)
class WeightedTerm:
    """A constraint, the weight of its energy in the sum, and where in the chain it counts.

    Only the ratios of weights matter. first, last: shares of the diffusion time, 0 at noise and 1
    at the end; the term counts from the first to short of the last, and at the end if that is 1.
    """

    term: Term
    weight: float = 1.0
    first: float = 0.0
    last: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 1:
            raise UserError(
                f"A constraint counts from {self.first} to {self.last} of the chain; give two "
                "shares between 0 and 1, the smaller one first."
            )

    def __call__(self, state: State) -> Tensor:
        return self.weight * self.term(state)

    @property
    def local(self) -> bool:
        """Whether the energy is a sum over strips of rows."""
        return isinstance(self.term, LocalTerm)

    def counts_at(self, progress: float) -> bool:
        """Whether the term counts where this share of the diffusion time is done."""
        return self.first <= progress < self.last or progress == self.last == 1

    def part(self, rows: slice) -> WeightedTerm:
        """The share of some rows in the energy of a local term."""
        assert isinstance(self.term, LocalTerm)
        return WeightedTerm(self.term.part(rows), self.weight)


def energy_and_gradient(
    terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder
) -> tuple[Tensor, Tensor]:
    """The weighted sum of the terms' energies `b` at latents `b c h w`, and its gradient there.

    Backpropagation stops at the decoder's features and goes on from there once, with what all
    strips sent back: no more than one strip is in memory at a time, and nothing is done twice.
    Strips where nothing is amiss send nothing back, and cost no backpropagation.
    """
    with torch.enable_grad():
        latents = latents.detach().requires_grad_()
        # A view, because features may be the latents themselves, and these no function of anything.
        features = decoder.features(latents.view_as(latents))
        held = tuple(feature.detach().requires_grad_() for feature in features)
        back = tuple(torch.zeros_like(feature) for feature in features)
        energies = []
        for terms_here, strips in _sharing(terms, decoder, batch=len(latents)):
            cuts = [decoder.cut(held, strip) for strip in strips]
            energy = _energy(terms_here, cuts, strips, decoder)
            energies.append(energy.detach())
            if not _is_amiss(energies[-1]):
                continue
            parts = [part for cut in cuts for part in cut]
            gradients = torch.autograd.grad(energy.sum(), parts, materialize_grads=True)
            places = [place for strip in strips for place in decoder.cut(back, strip)]
            for place, gradient in zip(places, gradients, strict=True):
                place += gradient
        (total,) = torch.autograd.grad(features, latents, back)
    return torch.stack(energies).sum(0), total


def _is_amiss(energy: Tensor) -> bool:
    """Whether any sample's energy `b` is not 0; on the meta device, without numbers, it may be."""
    return energy.is_meta or bool(energy.any())


def energy_and_state_gradient(
    terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder
) -> tuple[Tensor, State]:
    """The weighted sum `b` of the energies at latents `b c h w`, and its gradient in the state.

    The decoder is not differentiated.
    """
    with torch.no_grad():
        features = decoder.features(latents)
    energies, parts = [], []
    for terms_here, strips in _sharing(terms, decoder, batch=len(latents)):
        with torch.no_grad():
            decoded = _decoded([decoder.cut(features, strip) for strip in strips], strips, decoder)
        with torch.enable_grad():
            channels = decoded.to_channels().requires_grad_()
            energy = _sum_of(terms_here, State.from_channels(channels, levels=decoded.levels))
            (gradient,) = torch.autograd.grad(energy.sum(), channels, materialize_grads=True)
        energies.append(energy.detach())
        parts.append(State.from_channels(gradient, levels=decoded.levels))
    return torch.stack(energies).sum(0), State.from_rows(parts)


@torch.no_grad()
def energy_of(terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder) -> Tensor:
    """The weighted sum of the terms' energies, `b`."""
    features = decoder.features(latents)
    shares = [
        _energy(terms_here, [decoder.cut(features, strip) for strip in strips], strips, decoder)
        for terms_here, strips in _sharing(terms, decoder, batch=len(latents))
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
    return _sum_of(terms, _decoded(cuts, strips, decoder))


def _decoded(cuts: Sequence[Features], strips: Sequence[Any], decoder: Decoder) -> State:
    parts = [decoder.decode_strip(*pair) for pair in zip(cuts, strips, strict=True)]
    return State.from_rows(parts)


def _sum_of(terms: Sequence[WeightedTerm], state: State) -> Tensor:
    return torch.stack([term(state) for term in terms]).sum(0)
