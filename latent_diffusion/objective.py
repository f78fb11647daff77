"""The denoiser and its loss, in training and in distillation, as one module each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from latent_diffusion.denoiser import NoiseLevel, predict, velocity_target


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
        return {"loss": _weighted_mean(error, self._weight)}


class DistillationObjective(nn.Module):
    """Error of a student whose one step is to lead where many of its teacher's do.

    A step from noise level t to s goes from x_t to `a_s z + (s_s / s_t) (x_t - a_t z)`, so exactly
    one clean estimate z leads to the teacher's x_s (Salimans & Ho 2022, algorithm 2). The error is
    that of v, as in the teacher's own training.

    timesteps: of the student's steps; levels: amplitudes at each of them, and at the end
    weight, static_maps: see `DenoisingObjective`
    """

    _timesteps: Tensor
    _signal: Tensor
    _noise: Tensor
    _weight: Tensor
    _static_maps: Tensor

    def __init__(
        self,
        unet: UNet2DModel,
        *,
        timesteps: Tensor,
        levels: Sequence[NoiseLevel],
        weight: Tensor,
        static_maps: Tensor,
    ) -> None:
        super().__init__()
        self.unet = unet
        # Not kept in checkpoints: they are the sampler's, whom the checkpoint's identity names.
        for name, values in {
            "_timesteps": timesteps,
            "_signal": torch.tensor([level.signal for level in levels]),
            "_noise": torch.tensor([level.noise for level in levels]),
            "_weight": weight.float(),
            "_static_maps": static_maps.float(),
        }.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of `batch` `b k c h w`: chains at the beginning of each step, and at the end.

        Of every chain one step counts, drawn at random.
        """
        drawn = torch.randint(len(self._timesteps), (len(batch),), generator=generator)
        step = drawn.to(batch.device)
        chain = torch.arange(len(batch), device=batch.device)
        before, after = batch[chain, step], batch[chain, step + 1]
        predicted = predict(self.unet, before, self._timesteps[step], self._static_maps)
        error = (predicted.float() - self._target(before, after, step)).square()
        return {"loss": _weighted_mean(error, self._weight)}

    def _target(self, before: Tensor, after: Tensor, step: Tensor) -> Tensor:
        """The v that leads from `before` to `after` in the one step."""
        signal, noise, next_signal, next_noise = (
            values[:, None, None, None]
            for values in (
                self._signal[step],
                self._noise[step],
                self._signal[step + 1],
                self._noise[step + 1],
            )
        )
        kept = next_noise / noise
        clean = (after - kept * before) / (next_signal - kept * signal)
        return (signal * before - clean) / noise


def _weighted_mean(error: Tensor, weight: Tensor) -> Tensor:
    """Mean of `b c h w` over what has weight."""
    return (error * weight).sum() / (len(error) * weight.sum())
