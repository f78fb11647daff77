"""The VAE of ocean volumes: levels and variables are channels, rows and columns are compressed."""

from __future__ import annotations

from itertools import pairwise

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from autoencoder.periodic import make_periodic

LOG_VARIANCE_RANGE = (-30.0, 10.0)


class VolumeVAE(ModelMixin, ConfigMixin):
    """Encodes `b c y x` (normalised, y and x multiples of `factor`) to a Gaussian over `b l h w`.

    in_channels: c, all levels of all variables
    latent_channels: l
    out_channels: channels of what is decoded; c if None
    patch: cells a side that the first layer folds into channels
    channels: width of each stage; each stage after the first halves y and x
    blocks: residual blocks in a stage
    periodic_x: whether the x axis closes on itself
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int,
        latent_channels: int,
        patch: int = 1,
        channels: tuple[int, ...] = (96, 128),
        blocks: int = 2,
        periodic_x: bool = False,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = _encoder(in_channels, 2 * latent_channels, patch, tuple(channels), blocks)
        self.decoder = _decoder(
            latent_channels, out_channels or in_channels, patch, tuple(channels), blocks
        )
        if periodic_x:
            make_periodic(self)

    @property
    def factor(self) -> int:
        """How many cells a side one latent cell stands for."""
        return self.config.patch * 2 ** (len(self.config.channels) - 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, each `b l h w`."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latents: Tensor) -> Tensor:
        """`b l h w` to `b c y x`."""
        return self.decoder(latents)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction from a posterior draw made with `noise` `b l h w`, mean, log variance."""
        mean, log_variance = self.encode(x)
        return self.decode(mean + torch.exp(0.5 * log_variance) * noise).float(), mean, log_variance


def _residual(width_in: int, width_out: int) -> nn.Module:
    return ResnetBlock2D(
        in_channels=width_in, out_channels=width_out, temb_channels=None, groups=8, groups_out=8
    )


class _Residuals(nn.Sequential):
    """Residual blocks without a time embedding."""

    def forward(self, input: Tensor) -> Tensor:
        for block in self:
            input = block(input, None)
        return input


def _stage(width_in: int, width_out: int, blocks: int) -> nn.Module:
    widths = [width_in] + [width_out] * blocks
    return _Residuals(*(_residual(a, b) for a, b in pairwise(widths)))


def _encoder(
    inputs: int, outputs: int, patch: int, channels: tuple[int, ...], blocks: int
) -> nn.Module:
    layers: list[nn.Module] = [
        nn.PixelUnshuffle(patch),
        nn.Conv2d(inputs * patch**2, channels[0], 3, padding=1),
        _stage(channels[0], channels[0], blocks),
    ]
    for before, width in pairwise(channels):
        layers += [
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * before, width, 1),
            _stage(width, width, blocks),
        ]
    return nn.Sequential(*layers, *_head(channels[-1], outputs))


def _decoder(
    inputs: int, outputs: int, patch: int, channels: tuple[int, ...], blocks: int
) -> nn.Module:
    deepest = channels[-1]
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, deepest, 3, padding=1),
        _stage(deepest, deepest, blocks),
    ]
    for before, width in pairwise(reversed(channels)):
        layers += [
            nn.Conv2d(before, 4 * width, 1),
            nn.PixelShuffle(2),
            _stage(width, width, blocks),
        ]
    return nn.Sequential(*layers, *_head(channels[0], outputs * patch**2), nn.PixelShuffle(patch))


def _head(width: int, outputs: int) -> list[nn.Module]:
    return [nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, outputs, 3, padding=1)]
