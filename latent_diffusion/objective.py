"""The denoiser and its loss in one module, for training and for distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from latent_diffusion.denoiser import Denoiser, NoiseLevel, velocity_target


class ConditionalLatents(NamedTuple):
    """What the objective of a conditional network takes, and the features `b f` of its conditions.

    latents: moments `b 2 c h w` or chains `b k c h w`
    """

    latents: Tensor
    features: Tensor


Batch = Tensor | ConditionalLatents


class DenoisingObjective(nn.Module):
    """v-prediction error of a batch of latents at random noise levels.

    weight: `c h w`, weight of each latent value (0 on land in data space)
    noise_emphasis: e, diffusion time t is drawn with a density proportional to t^(e - 1); 1 is
        uniform. Basin-wide anomalies emerge from the noise before details do and are determined at
        high noise levels, which a uniform distribution samples too rarely.
    condition_dropout: share of samples whose conditions the network does not see, so that it can
        draw without
    """

    _alphas: Tensor
    _weight: Tensor

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        schedule: DDPMScheduler,
        weight: Tensor,
        noise_emphasis: float = 1.0,
        condition_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self._noise_emphasis = noise_emphasis
        self._condition_dropout = condition_dropout
        self.register_buffer("_alphas", schedule.alphas_cumprod.float())
        self.register_buffer("_weight", weight.float())

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of the latents' means and standard deviations, `b 2 c h w`."""
        moments, features = _parted(batch)
        mean, std = moments.unbind(dim=1)
        posterior, noise = torch.randn((2, *mean.shape), generator=generator).to(mean.device)
        share = torch.rand(len(mean), generator=generator) ** (1 / self._noise_emphasis)
        timesteps = (len(self._alphas) * share).long().clamp(max=len(self._alphas) - 1)
        timesteps = timesteps.to(mean.device)
        clean = mean + std * posterior
        signal = self._alphas[timesteps].sqrt()[:, None, None, None]
        amplitude = (1 - self._alphas[timesteps]).sqrt()[:, None, None, None]
        predicted = self.denoiser(
            signal * clean + amplitude * noise,
            timesteps,
            signal=signal,
            noise=amplitude,
            features=self._some_unknown(features, generator),
        )
        error = (predicted - velocity_target(clean, noise, signal, amplitude)).square()
        return {"loss": _weighted_mean(error, self._weight)}

    def _some_unknown(self, features: Tensor | None, generator: torch.Generator) -> Tensor | None:
        """Features `b f` with some rows of 0: unknown conditions."""
        if features is None:
            return None
        known = torch.rand(len(features), 1, generator=generator) >= self._condition_dropout
        return features * known.to(features)


class DistillationObjective(nn.Module):
    """v-prediction error of a student whose single step replaces several steps of the teacher.

    A step from noise level t to s goes from x_t to `a_s z + (s_s / s_t) (x_t - a_t z)`, so exactly
    one clean estimate z leads to the teacher's x_s (Salimans & Ho 2022, algorithm 2).

    timesteps: timesteps of the student's steps; levels: amplitudes at each of them and at the end
    weight: see `DenoisingObjective`
    """

    _timesteps: Tensor
    _signal: Tensor
    _noise: Tensor
    _weight: Tensor

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        timesteps: Tensor,
        levels: Sequence[NoiseLevel],
        weight: Tensor,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        # Not saved in checkpoints: they follow from the sampler in the checkpoint's identity.
        for name, values in {
            "_timesteps": timesteps,
            "_signal": torch.tensor([level.signal for level in levels]),
            "_noise": torch.tensor([level.noise for level in levels]),
            "_weight": weight.float(),
        }.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of chains `b k c h w` at one random step of each chain."""
        chains, features = _parted(batch)
        drawn = torch.randint(len(self._timesteps), (len(chains),), generator=generator)
        step = drawn.to(chains.device)
        chain = torch.arange(len(chains), device=chains.device)
        before, after = chains[chain, step], chains[chain, step + 1]
        column = step[:, None, None, None]
        signal, noise = self._signal[column], self._noise[column]
        predicted = self.denoiser(
            before, self._timesteps[step], signal=signal, noise=noise, features=features
        )
        error = (predicted - self._target(before, after, column)).square()
        return {"loss": _weighted_mean(error, self._weight)}

    def _target(self, before: Tensor, after: Tensor, step: Tensor) -> Tensor:
        """The v that leads from `before` to `after` `b c h w` in one step, `step` `b 1 1 1`."""
        signal, noise = self._signal[step], self._noise[step]
        next_signal, next_noise = self._signal[step + 1], self._noise[step + 1]
        kept = next_noise / noise
        clean = (after - kept * before) / (next_signal - kept * signal)
        return (signal * before - clean) / noise


def _parted(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Latents, and the features of their conditions if there are any."""
    return batch if isinstance(batch, ConditionalLatents) else (batch, None)


def _weighted_mean(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of `b c h w`."""
    return (error * weight).sum() / (len(error) * weight.sum())
