"""The denoiser and its loss as one module."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from latent_diffusion.denoiser import predict, velocity_target


class DenoisingObjective(nn.Module):
    """v-prediction error of a batch of latents at random noise levels.

    weight: `c h w`, weight of each latent number (0 on land in data space)
    static_maps: `m h w`, what the network is told of each place
    noise_emphasis: 1 draws noise levels uniformly in time; 2 in proportion to time, and so on.
        Basin-wide anomalies stand out of the noise of many latents long before details do, so
        what they are is settled at high noise, which a uniform draw visits too rarely
    """

    _alphas: Tensor
    _weight: Tensor
    _static_maps: Tensor

    def __init__(
        self,
        unet: UNet2DModel,
        *,
        schedule: DDPMScheduler,
        weight: Tensor,
        static_maps: Tensor,
        noise_emphasis: float = 1.0,
    ) -> None:
        super().__init__()
        self.unet = unet
        self._noise_emphasis = noise_emphasis
        self.register_buffer("_alphas", schedule.alphas_cumprod.float())
        self.register_buffer("_weight", weight.float())
        self.register_buffer("_static_maps", static_maps.float())

    def forward(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of `batch` `b 2 c h w`, the latents' means and standard deviations."""
        mean, std = batch.unbind(dim=1)
        posterior, noise = torch.randn((2, *mean.shape), generator=generator).to(batch.device)
        share = torch.rand(len(mean), generator=generator) ** (1 / self._noise_emphasis)
        timesteps = (len(self._alphas) * share).long().clamp(max=len(self._alphas) - 1)
        timesteps = timesteps.to(batch.device)
        clean = mean + std * posterior
        signal = self._alphas[timesteps].sqrt()[:, None, None, None]
        amplitude = (1 - self._alphas[timesteps]).sqrt()[:, None, None, None]
        predicted = predict(
            self.unet, signal * clean + amplitude * noise, timesteps, self._static_maps
        )
        error = (predicted.float() - velocity_target(clean, noise, signal, amplitude)).square()
        return {"loss": (error * self._weight).sum() / (len(batch) * self._weight.sum())}
