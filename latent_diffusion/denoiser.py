"""The denoiser and the conversion between its prediction and the clean estimate.

Schedules are variance preserving, `x = a z + s n` with `a^2 + s^2 = 1`, and the denoiser predicts
`v = a n - s z` (Salimans & Ho 2022, section 4). Schedulers that work with `z + sigma n` scale their
samples to this form before calling the network, so the same relations hold.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin, SchedulerMixin, UNet2DModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from data.errors import UserError
from latent_diffusion.gaussian import Amplitude, MemberGaussians


class NoiseLevel(NamedTuple):
    """Amplitudes of signal and noise in the network's input; their squares sum to 1."""

    signal: float
    noise: float


def build_unet(
    latent_shape: tuple[int, int, int],
    *,
    static_maps: int,
    channels: tuple[int, ...],
    blocks: int,
    attention: bool,
    dropout: float,
    conditional: bool = False,
) -> UNet2DModel:
    """The diffusers network for latents of `latent_shape` `c h w`.

    Its input has the noisy latents, their Gaussian estimate, and `static_maps` channels;
    conditional: and an embedding of the conditions, which it adds to that of the time.
    """
    latent_channels, rows, columns = latent_shape
    plain = len(channels) - 1
    unet = UNet2DModel(
        sample_size=(rows, columns),
        in_channels=2 * latent_channels + static_maps,
        out_channels=latent_channels,
        block_out_channels=tuple(channels),
        layers_per_block=blocks,
        down_block_types=("DownBlock2D",) * plain
        + ("AttnDownBlock2D" if attention else "DownBlock2D",),
        up_block_types=("AttnUpBlock2D" if attention else "UpBlock2D",) + ("UpBlock2D",) * plain,
        add_attention=attention,
        attention_head_dim=32,
        norm_num_groups=8,
        dropout=dropout,
        class_embed_type="identity" if conditional else None,
    )
    # It adds to the Gaussian part, which is right on its own at high noise.
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


class ConditionEmbedding(ModelMixin, ConfigMixin):
    """From features of the conditions `b f` to an embedding `b width` for the network."""

    @register_to_config
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    @classmethod
    def for_network(cls, unet: UNet2DModel, *, features: int) -> ConditionEmbedding:
        """The embedding of so many features for a network."""
        return cls(features, unet.time_embedding.linear_2.out_features)

    def forward(self, features: Tensor | None, count: int) -> Tensor:
        """The embedding `count width`; None, or features of 0, stand for unknown conditions."""
        if features is None:
            features = torch.zeros(count, self.config.features)
        embedding: Tensor = self.layers(features.to(self.device, self.dtype))
        return embedding


class Denoiser(nn.Module):
    """Predicts v: what the Gaussian of the training latents says, plus what the network adds.

    The network also sees the Gaussian's clean estimate. At high noise it shows in every cell which
    of the basin-wide patterns are present, which convolutions would have to sum from all cells.

    static_maps: `m h w`, constant inputs of the network at each latent cell
    embedding: of the conditions, for a conditional network
    """

    static_maps: Tensor

    def __init__(
        self,
        unet: UNet2DModel,
        gaussian: MemberGaussians,
        static_maps: Tensor,
        embedding: ConditionEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.unet, self.gaussian, self.embedding = unet, gaussian, embedding
        self.register_buffer("static_maps", static_maps, persistent=False)

    def forward(
        self,
        scaled: Tensor,
        timestep: Tensor | float,
        *,
        signal: Amplitude,
        noise: Amplitude,
        features: Tensor | None = None,
    ) -> Tensor:
        """v `b c h w`, float32, for the scaled input `b c h w`.

        signal, noise: its amplitudes at the timestep, numbers or `b 1 1 1`; features: of the
        conditions, `b f`, for a conditional network; None: unknown conditions
        """
        v = self.gaussian.velocity(scaled, signal=signal, noise=noise)
        estimate = (signal * scaled - noise * v).to(scaled.dtype)
        inputs = torch.cat([scaled, estimate, self.maps(scaled, features)], dim=1)
        inputs = inputs.to(getattr(self.unet, "dtype", inputs.dtype))  # half, if it was converted
        labels = self.labels(features, len(scaled))
        return self.unet(inputs, timestep, **labels).sample.float() + v

    def maps(self, scaled: Tensor, features: Tensor | None) -> Tensor:
        """Inputs `b m h w` of the network beside the latents `scaled`; the same for all states."""
        return self.static_maps.to(scaled.dtype).expand(len(scaled), *self.static_maps.shape)

    def labels(self, features: Tensor | None, count: int) -> dict[str, Tensor]:
        """What a conditional network knows of the conditions of `count` states."""
        if self.embedding is None:
            return {}
        return {"class_labels": self.embedding(features, count)}


def clean_estimate(v: Tensor, scaled: Tensor, level: NoiseLevel) -> Tensor:
    """The clean estimate z0-hat from the network's v and its scaled input."""
    return level.signal * scaled - level.noise * v


def velocity(clean: Tensor, scaled: Tensor, level: NoiseLevel) -> Tensor:
    """The v whose clean estimate is `clean`: the inverse of `clean_estimate`."""
    return (level.signal * scaled - clean) / level.noise


def first_order_step(v: Tensor, sample: Tensor, level: NoiseLevel, following: NoiseLevel) -> Tensor:
    """The sample `b c h w` at the next noise level, after a step of a first-order solver.

    The step of DDIM (Song et al. 2021, equation 12, without noise) and of DPM-Solver++ of order 1.
    """
    clean = clean_estimate(v, sample, level)
    noise = level.noise * sample + level.signal * v
    return following.signal * clean + following.noise * noise


def velocity_target(clean: Tensor, noise: Tensor, signal: Tensor, amplitude: Tensor) -> Tensor:
    """The training target v of clean latents and noise, all `b c h w`."""
    return signal * noise - amplitude * clean


def noise_level(scheduler: SchedulerMixin, step: int) -> NoiseLevel:
    """Amplitudes in the network's input at step `step` of a scheduler's chain.

    Raises `UserError` for a scheduler without known noise levels.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    timesteps = scheduler.timesteps
    if sigmas is not None and len(sigmas) == len(timesteps) + 1:
        variance = 1 / (1 + float(sigmas[step]) ** 2)
    elif hasattr(scheduler, "alphas_cumprod"):
        variance = float(scheduler.alphas_cumprod[int(timesteps[step])])
    else:
        raise UserError(
            f"{type(scheduler).__name__} does not expose its noise levels; choose a scheduler such "
            "as DPMSolverMultistepScheduler, DDIMScheduler, DDPMScheduler or EulerDiscreteScheduler"
        )
    return NoiseLevel(variance**0.5, (1 - variance) ** 0.5)
