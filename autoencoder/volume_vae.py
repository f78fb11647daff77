"""The VAE of ocean volumes: levels and variables are channels, rows and columns are compressed."""

from __future__ import annotations

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from autoencoder.layers import fold_stages, head, unfold_stages, zero
from autoencoder.linear import ColumnModes, LappedMap
from autoencoder.periodic import make_periodic

LOG_VARIANCE_RANGE = (-30.0, 10.0)
EXCHANGE_MODES = 8
INITIAL_LOG_VARIANCE = -4.0  # beside a linear path, whose latents have variance 1

# Normalised fields `b c y x` and the further channels `b d y x`, of which there may be none.
Decoded = tuple[Tensor, Tensor]


class VolumeVAE(ModelMixin, ConfigMixin):
    """Encodes `b c y x` (normalised, y and x multiples of `factor`) to a Gaussian over `b l h w`.

    in_channels: c, all levels of all variables
    latent_channels: l
    out_channels: channels of what is decoded, c and further ones; c if None
    patch: cells a side that the first layer folds into channels
    channels: width of each stage; each stage after the first halves y and x
    blocks: residual blocks in a stage
    periodic_x: whether the x axis closes on itself
    vertical_modes: number of modes of the column that stand between the fields and all that
        follows, network and linear path; 0: none
    linear_path: whether a linear map of windows runs beside the network, which learns the rest
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
        vertical_modes: int = 0,
        linear_path: bool = False,
    ) -> None:
        super().__init__()
        channels = tuple(channels)
        further = (out_channels or in_channels) - in_channels
        self._seen, made, self.further = in_channels, further, None
        if vertical_modes:
            self.modes = ColumnModes(in_channels, vertical_modes)
            self._seen, made = vertical_modes, min(further, EXCHANGE_MODES)
            self.further = nn.Conv2d(made, further, 1) if further else None
        seen, made = self._seen, self._seen + made
        self.encoder = _encoder(seen, 2 * latent_channels, patch, channels, blocks)
        self.trunk = _trunk(latent_channels, channels, blocks)
        self.head = _patches(channels[0], made, patch)
        self.linear = None
        if linear_path:
            self.linear = LappedMap(seen, latent_channels, self.factor, periodic_x=periodic_x)
            self._leave_all_to_linear_path()
        if periodic_x:
            make_periodic(self)

    @property
    def factor(self) -> int:
        """How many cells a side one latent cell covers."""
        return cells_per_latent(patch=self.config.patch, stages=len(self.config.channels))

    @property
    def reach(self) -> int:
        """How many latent cells away a decoded cell may depend on.

        The first convolution and the deepest blocks (or the linear path, which reaches 1), then
        blocks at finer stages.
        """
        blocks, stages = self.config.blocks, len(self.config.channels)
        return math.ceil(1 + sum(2 * blocks / 2**stage for stage in range(stages)))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, each `b l h w`."""
        seen = self.modes.encode(x) if self.config.vertical_modes else x
        mean, log_variance = self.encoder(seen).float().chunk(2, dim=1)
        if self.linear is not None:
            mean = mean + self.linear.encode(seen).float()
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latents: Tensor) -> Decoded:
        """Latents `b l h w` to normalised fields `b c y x` and the further channels."""
        return self.decode_rows(self.features(latents), latents, first=0)

    def features(self, latents: Tensor) -> Tensor:
        """What the decoder knows before its last layer, `b f v u`."""
        return self.trunk(latents)

    def cut(
        self, features: Tensor, latents: Tensor, first: int, last: int
    ) -> tuple[Tensor, Tensor]:
        """Views of what the cells of latent rows `first` to `last` - 1 need of both.

        The head reads its own rows of the features; the linear path one more latent on each side.
        """
        rows = self.factor // self.config.patch  # of the features, for each latent's
        around = int(self.linear is not None)
        return (
            features[:, :, first * rows : last * rows],
            latents[:, :, max(first - around, 0) : last + around],
        )

    def decode_rows(self, features: Tensor, latents: Tensor, *, first: int) -> Decoded:
        """The cells of latent rows from `first` on, from what `cut` gives."""
        made = self.head(features).float()
        fields, further = made.split([self._seen, made.shape[1] - self._seen], dim=1)
        if self.linear is not None:
            before = min(first, 1) * self.factor
            fields = fields + _rows(self.linear.decode(latents), before, fields.shape[2])
        if self.config.vertical_modes:
            fields = self.modes.decode(fields)
        if self.further is not None:
            further = self.further(further)
        return fields, further

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Decoded, Tensor, Tensor]:
        """Reconstruction from a posterior draw made with `noise` `b l h w`, mean, log variance."""
        mean, log_variance = self.encode(x)
        fields, further = self.decode(mean + torch.exp(0.5 * log_variance) * noise)
        return (fields.float(), further.float()), mean, log_variance

    def _leave_all_to_linear_path(self) -> None:
        """Start with networks that put out 0, and a posterior narrower than the latents."""
        zero(_last_convolution(self.head))
        last = zero(_last_convolution(self.encoder))
        assert last.bias is not None
        with torch.no_grad():
            last.bias[self.config.latent_channels :] = INITIAL_LOG_VARIANCE


def _rows(x: Tensor, first: int, count: int) -> Tensor:
    """`count` rows of `x` `b c y x`; all of them at no cost."""
    return x if count == x.shape[2] else x[:, :, first : first + count]


def cells_per_latent(*, patch: int, stages: int) -> int:
    """How many cells a side a latent cell covers, in a network of so many stages."""
    return patch * 2 ** (stages - 1)


def _encoder(
    inputs: int, outputs: int, patch: int, channels: tuple[int, ...], blocks: int
) -> nn.Module:
    return nn.Sequential(
        nn.PixelUnshuffle(patch),
        nn.Conv2d(inputs * patch**2, channels[0], 3, padding=1),
        fold_stages(channels, blocks),
        head(channels[-1], outputs, kernel=3),
    )


def _trunk(inputs: int, channels: tuple[int, ...], blocks: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, channels[-1], 3, padding=1), unfold_stages(channels, blocks)
    )


def _patches(width: int, outputs: int, patch: int) -> nn.Module:
    """From features to cells, the mirror of the encoder's first layer."""
    return nn.Sequential(head(width, outputs * patch**2, kernel=1), nn.PixelShuffle(patch))


def _last_convolution(network: nn.Module) -> nn.Conv2d:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
