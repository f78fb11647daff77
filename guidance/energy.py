"""The weighted sum of constraints at latents, and its gradient there."""

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
    """What turns latents into states, in strips of rows so that no whole state need be held.

    All its methods are differentiable. A codec is a decoder.
    """

    def features(self, latents: Tensor) -> Features:
        """What needs all latents `b c h w`."""
        ...

    def strips(self, batch: int) -> Sequence[Any]:
        """Strips for a batch of that size; their attribute `rows` are rows of the ocean."""
        ...

    def cut(self, features: Features, strip: Any) -> Features:
        """Views of what the strip needs of the features."""
        ...

    def decode_strip(self, cut: Features, strip: Any) -> State:
        """The strip's rows of the states."""
        ...


@dataclass(frozen=True)
class WholeDecoder:
    """A decoder in one strip, from any function of latents `b c h w` to states."""

    decode: Callable[[Tensor], State]

    @property
    def rows(self) -> slice:
        """All rows: the decoder is its own strip."""
        return slice(None)

    def features(self, latents: Tensor) -> Features:
        """The latents themselves."""
        return (latents,)

    def strips(self, batch: int) -> Sequence[WholeDecoder]:
        """The one strip."""
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
    """A constraint, the weight of its energy in the sum, and where in the chain it counts.

    Only the ratios of weights matter.
    """

    term: Term
    weight: float = 1.0
    window: Window = ALWAYS

    def __call__(self, state: State) -> Tensor:
        """The weighted energy of each sample, `b`."""
        return self.weight * self.term(state)

    @property
    def local(self) -> bool:
        """Whether the energy is a sum over strips of rows."""
        return isinstance(self.term, LocalTerm)

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
    parts = [decoder.decode_strip(*pair) for pair in zip(cuts, strips, strict=True)]
    state = State.from_rows(parts)
    return torch.stack([term(state) for term in terms]).sum(0)
