"""The weighted sum of constraint energies of latents, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from data.state import State
from guidance.steps import Window
from guidance.terms import LocalTerm, Term

Features = tuple[Tensor, ...]


class Decoder(Protocol):
    """Decodes latents to states in strips of rows, to limit memory. A codec is a decoder.

    All methods are differentiable.
    """

    def features(self, latents: Tensor) -> Features:
        """The part of decoding that needs all latents `b c h w`."""
        ...

    def strips(self, batch: int) -> Sequence[Any]:
        """Strips for a batch of this size; their attribute `rows` is a slice of ocean rows."""
        ...

    def cut(self, features: Features, strip: Any) -> Features:
        """Views of the features that the strip needs."""
        ...

    def decode_strip(self, cut: Features, strip: Any) -> State:
        """The rows of the states in the strip."""
        ...


@dataclass(frozen=True)
class WholeDecoder:
    """A decoder with one strip, from any function of latents `b c h w` to states."""

    decode: Callable[[Tensor], State]

    @property
    def rows(self) -> slice:
        """All rows; the decoder is its own strip."""
        return slice(None)

    def features(self, latents: Tensor) -> Features:
        """The latents."""
        return (latents,)

    def strips(self, batch: int) -> Sequence[WholeDecoder]:
        """A single strip."""
        return [self]

    def cut(self, features: Features, strip: WholeDecoder) -> Features:
        """All features."""
        return features

    def decode_strip(self, cut: Features, strip: WholeDecoder) -> State:
        """The whole states."""
        return self.decode(*cut)


ALWAYS = Window()


@dataclass(frozen=True)
class WeightedTerm:
    """A constraint, the weight of its energy in the sum, and its part of the chain.

    Only ratios of weights matter, except with dual ascent, whose multiplier grows with the energy.
    """

    term: Term
    weight: float = 1.0
    window: Window = ALWAYS

    def __call__(self, state: State) -> Tensor:
        """The weighted energy of each sample, `b`."""
        return self.weight * self.term(state)

    @property
    def local(self) -> bool:
        """Whether the energy is a sum over rows."""
        return isinstance(self.term, LocalTerm)

    def part(self, rows: slice) -> WeightedTerm:
        """The contribution of some rows to the energy of a local term."""
        assert isinstance(self.term, LocalTerm)
        return WeightedTerm(self.term.part(rows), self.weight)


def energy_and_gradient(
    terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder
) -> tuple[Tensor, Tensor]:
    """The weighted sum of the terms' energies `b` at latents `b c h w`, and its gradient.

    Each strip is backpropagated to the decoder's features; the accumulated gradient is then
    backpropagated to the latents once. Only one strip is in memory at a time, and nothing is
    computed twice. Strips without violation need no backpropagation.
    """
    with torch.enable_grad():
        latents = latents.detach().requires_grad_()
        # A view, because autograd needs features that are a function of the latents.
        features = decoder.features(latents.view_as(latents))
        inputs = tuple(feature.detach().requires_grad_() for feature in features)
        gradient = tuple(torch.zeros_like(feature) for feature in features)
        energies = []
        for terms_here, strips in _by_strips(terms, decoder, batch=len(latents)):
            cuts = [decoder.cut(inputs, strip) for strip in strips]
            energy = _energy(terms_here, cuts, strips, decoder)
            energies.append(energy.detach())
            if not _is_violated(energies[-1]):
                continue
            parts = [part for cut in cuts for part in cut]
            part_gradients = torch.autograd.grad(energy.sum(), parts, materialize_grads=True)
            places = [place for strip in strips for place in decoder.cut(gradient, strip)]
            for place, part_gradient in zip(places, part_gradients, strict=True):
                place += part_gradient
        (total,) = torch.autograd.grad(features, latents, gradient)
    return torch.stack(energies).sum(0), total


def _is_violated(energy: Tensor) -> bool:
    """Whether any sample's energy `b` is not 0; True on the meta device, which has no values."""
    return energy.is_meta or bool(energy.any())


@torch.no_grad()
def energy_of(terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder) -> Tensor:
    """The weighted sum of the terms' energies, `b`."""
    features = decoder.features(latents)
    energies = [
        _energy(terms_here, [decoder.cut(features, strip) for strip in strips], strips, decoder)
        for terms_here, strips in _by_strips(terms, decoder, batch=len(latents))
    ]
    return torch.stack(energies).sum(0)


def _by_strips(
    terms: Sequence[WeightedTerm], decoder: Decoder, *, batch: int
) -> Iterator[tuple[Sequence[WeightedTerm], Sequence[Any]]]:
    """Groups of strips and the terms for them.

    Each strip is a group if all terms are local; otherwise all strips are one group.
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
    """The weighted sum of the terms' energies `b` for the rows of the strips."""
    parts = [decoder.decode_strip(*pair) for pair in zip(cuts, strips, strict=True)]
    state = State.from_rows(parts)
    return torch.stack([term(state) for term in terms]).sum(0)
