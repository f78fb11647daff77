"""The autoencoder and its loss as one module, so that distributed training wraps both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoencoder.codec import VolumeCodec
from autoencoder.losses import kl_divergence, reconstruction_error, stratification_error
from data.state import State
from guidance.seawater import EquationOfState
from guidance.stratification import density_steps, wet_pairs


class AutoencoderObjective(nn.Module):
    """Named losses of a batch of states.

    codec: whose VAE is trained; its statistics normalise the states
    eos: the data's equation of state, for the stratification term
    kl_weight, stratification_weight: weights beside the reconstruction error
    """

    _interface_depth: Tensor
    _wet_pairs: Tensor

    def __init__(
        self,
        codec: VolumeCodec,
        *,
        eos: EquationOfState,
        kl_weight: float,
        stratification_weight: float,
    ) -> None:
        super().__init__()
        self.codec = codec
        self._eos = eos
        self._kl_weight = kl_weight
        self._stratification_weight = stratification_weight
        self.register_buffer("_interface_depth", torch.from_numpy(codec.grid.interface_depth))
        self.register_buffer("_wet_pairs", wet_pairs(codec.grid_wet > 0))

    def forward(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of `batch` `b c y x` (physical units) under noise from `generator`."""
        codec, statistics = self.codec, self.codec.statistics
        state = State.from_channels(batch, levels=codec.statistics.levels)
        noise = torch.randn((len(batch), *codec.latent_shape), generator=generator).to(batch.device)
        decoded, mean, log_variance = codec.vae(codec.network_input(state), noise)
        reconstruction = codec.reconstruct(decoded)
        losses = {
            "reconstruction": reconstruction_error(
                statistics.normalise(reconstruction), statistics.normalise(state), statistics.wet
            ),
            "kl": kl_divergence(mean, log_variance),
        }
        losses["loss"] = losses["reconstruction"] + self._kl_weight * losses["kl"]
        if self._stratification_weight:
            losses["stratification"] = self._stratification(reconstruction, state)
            losses["loss"] = losses["loss"] + self._stratification_weight * losses["stratification"]
        return losses

    def _stratification(self, reconstruction: State, state: State) -> Tensor:
        steps, true_steps = (
            density_steps(each, eos=self._eos, interface_depth=self._interface_depth)
            for each in (reconstruction, state)
        )
        return stratification_error(steps, true_steps, self._wet_pairs)
