"""The autoencoder and its loss as one module, so that distributed training wraps both."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autoencoder.codec import VolumeCodec
from autoencoder.terms import TERMS, Comparison, Ocean
from data.state import State
from guidance.seawater import EquationOfState
from guidance.stratification import wet_pairs

JITTERED = ("stratification", "created_instability")


class AutoencoderObjective(nn.Module):
    """Named losses of a batch of states.

    codec: whose VAE is trained; its statistics normalise the states
    eos: the data's equation of state, for the terms of static stability
    losses: weight of each term of `TERMS` beside the reconstruction error; 0 leaves it out
    latent_jitter: standard deviation of noise on the latents, in units of each latent channel's
        over the batch, under which the terms of the density steps are judged a second time; 0: not

    Raises UserError if a term cannot be had on the codec's grid.
    """

    _interface_depth: Tensor
    _wet_pairs: Tensor

    def __init__(
        self,
        codec: VolumeCodec,
        *,
        eos: EquationOfState,
        losses: Mapping[str, float],
        latent_jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self.codec = codec
        self._eos = eos
        self._grid = codec.grid
        self._latent_jitter = latent_jitter
        self.register_buffer("_interface_depth", torch.from_numpy(self._grid.interface_depth))
        self.register_buffer("_wet_pairs", wet_pairs(codec.grid_wet > 0))
        self._weights = {"reconstruction": 1.0} | _active(losses, jitter=latent_jitter > 0)
        self._terms = {name: TERMS[name](codec) for name in self._weights}

    def forward(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of `batch` `b c y x` (physical units) under noise from `generator`."""
        comparison = self._compare(batch, generator)
        losses = {name: term(comparison) for name, term in self._terms.items()}
        weighted = [weight * losses[name] for name, weight in self._weights.items()]
        return losses | {"loss": torch.stack(weighted).sum()}

    def _compare(self, batch: Tensor, generator: torch.Generator) -> Comparison:
        codec = self.codec
        state = State.from_channels(batch, levels=codec.statistics.levels)
        shape = (len(batch), *codec.latent_shape)
        noise = torch.randn(shape, generator=generator).to(batch.device)
        jitter = None
        if self._latent_jitter:
            jitter = self._latent_jitter * torch.randn(shape, generator=generator)
            jitter = jitter.to(batch.device)
        decoded, mean, log_variance = codec.vae(codec.network_input(state), noise)
        ocean = Ocean(self._grid, self._eos, self._interface_depth, self._wet_pairs)
        return Comparison(codec, ocean, state, decoded, mean, log_variance, jitter)


def _active(losses: Mapping[str, float], *, jitter: bool) -> dict[str, float]:
    """The terms that count, with their weights."""
    active = {name: weight for name, weight in losses.items() if weight}
    if jitter:
        active |= {f"jittered_{name}": active[name] for name in JITTERED if name in active}
    return active
