"""Ways to say in which direction latents should move so that the constraints hold.

Each gives, per sample, the energy there, a direction, and how fast the energy falls against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from data.errors import UserError
from data.state import State
from guidance.constraints import Projection
from guidance.decoding import Approximated, Coder, Decoder
from guidance.energy import WeightedTerm, energy_and_gradient, energy_and_state_gradient


class Pull(NamedTuple):
    """Energy `b` at some latents, the direction `b c h w` to go against, and its slope `b`: the
    energy that is lost per unit of the direction."""

    energy: Tensor
    direction: Tensor
    slope: Tensor


# From a gradient with respect to the clean estimate to one with respect to the network's input.
ThroughNetwork = Callable[[Tensor], Tensor]
PullOf = Callable[[Sequence[WeightedTerm], Tensor, Decoder, "ThroughNetwork | None"], Pull]


def decoder_pull(
    terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder, through: object = None
) -> Pull:
    """The gradient through the decoder."""
    energy, gradient = energy_and_gradient(terms, latents, decoder)
    gradient = gradient.float()
    return Pull(energy, gradient, _dot(gradient, gradient))


def network_pull(
    terms: Sequence[WeightedTerm],
    latents: Tensor,
    decoder: Decoder,
    through: ThroughNetwork | None = None,
) -> Pull:
    """The gradient through the decoder and the denoiser (Chung et al. 2023, DPS).

    The denoiser's Jacobian is, up to a factor, the covariance of clean latents given the noisy one
    (Tweedie's second formula), so the direction is the gradient spread along likely changes.
    """
    assert through is not None, "the sampler gives the way through the network"
    energy, gradient = energy_and_gradient(terms, latents, decoder)
    direction = through(gradient).float()
    return Pull(energy, direction, _dot(gradient.float(), direction))


@torch.no_grad()
def encoder_pull(
    terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder, through: object = None
) -> Pull:
    """Without a gradient: the state is projected on the constraint and encoded again.

    What the autoencoder changes by itself is taken off, so a state that holds the constraint does
    not move. The slope is such that a Polyak step is the whole way.
    """
    if len(terms) != 1 or not isinstance(terms[0].term, Projection):
        raise UserError(
            "Guidance by encoding again projects on one constraint that has a nearest state "
            "(nearest_stable_state or physical_bounds); give that one alone, or guide by gradient."
        )
    term, coder = terms[0].term, cast(Coder, decoder)
    features = decoder.features(latents)
    decoded = State.from_rows(
        [
            decoder.decode_strip(decoder.cut(features, strip), strip)
            for strip in decoder.strips(len(latents))
        ]
    )
    energy = terms[0].weight * term(decoded)
    direction = coder.encode(decoded) - coder.encode(term.project(decoded))
    return Pull(energy, direction.float(), 2 * energy)


def surrogate_pull(
    terms: Sequence[WeightedTerm], latents: Tensor, decoder: Decoder, through: object = None
) -> Pull:
    """The gradient through a linear stand-in for the decoder, at what the decoder itself gives.

    The energy is exact and the decoder is not differentiated. How fast the energy falls along the
    approximate direction is taken to be as along an exact one; `Descent.damped` checks it.
    """
    stand_in = cast(Approximated, decoder)
    energy, gradient = energy_and_state_gradient(terms, latents, decoder)
    with torch.enable_grad():
        at = latents.detach().requires_grad_()
        approximate = stand_in.decode_linearly(at).to_channels()
        (direction,) = torch.autograd.grad(approximate, at, gradient.to_channels())
    return Pull(energy, direction.float(), _dot(direction, direction))


PULLS: dict[str, PullOf] = {
    "decoder": decoder_pull,
    "network": network_pull,
    "encoder": encoder_pull,
    "surrogate": surrogate_pull,
}


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)
