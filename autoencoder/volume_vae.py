"""The VAE of ocean volumes: levels and variables are channels, rows and columns are compressed."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from autoencoder.layers import fold_stages, head, unfold_stages, zero
from autoencoder.linear import ColumnModes, LappedMap
from autoencoder.periodic import make_periodic
from autoencoder.settings import CodecDesign

LOG_VARIANCE_RANGE = (-30.0, 10.0)
EXCHANGE_MODES = 8
INITIAL_LOG_VARIANCE = -4.0  # beside a linear path, whose latents have variance 1

# Normalised fields `b c y x` and the further channels `b d y x`, of which there may be none.
Decoded = tuple[Tensor, Tensor]


class VolumeVAE(ModelMixin, ConfigMixin):
    """Encodes `b c y x` (normalised) to a Gaussian over `b l h w`.

    y and x are multiples of the design's `factor`.

    in_channels: c, all levels of all variables
    further_channels: of what is decoded, beside c
    periodic_x: whether the x axis closes on itself
    design: as `CodecDesign` has it; l is its latent_channels. Vertical modes are between the fields
        and all that follows, network and linear path. Beside a linear path the network learns what
        that leaves.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int,
        further_channels: int,
        periodic_x: bool,
        design: dict[str, Any],
    ) -> None:
        super().__init__()
        self.design = d = CodecDesign(**design)
        self._seen, made = in_channels, further_channels
        self.modes = self.further = self.linear = None
        if d.vertical_modes:
            self.modes = ColumnModes(in_channels, d.vertical_modes)
            self._seen, made = d.vertical_modes, min(further_channels, EXCHANGE_MODES)
            self.further = nn.Conv2d(made, further_channels, 1) if further_channels else None
        self.encoder = _encoder(d, inputs=self._seen)
        self.trunk = _trunk(d)
        self.head = _patches(d, outputs=self._seen + made)
        if d.linear_path:
            self.linear = LappedMap(self._seen, d.latent_channels, d.factor, periodic_x=periodic_x)
            self._leave_all_to_linear_path()
        if periodic_x:
            make_periodic(self)

    @property
    def reach(self) -> int:
        """How many latent cells away a decoded cell may depend on.

        The first convolution and the deepest blocks (or the linear path, which reaches 1), then
        blocks at finer stages.
        """
        blocks, stages = self.design.blocks, len(self.design.channels)
        return math.ceil(1 + sum(2 * blocks / 2**stage for stage in range(stages)))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, each `b l h w`."""
        seen = self.seen(x)
        mean, log_variance = self.encoder(seen).float().chunk(2, dim=1)
        if self.linear is not None:
            mean = mean + self.linear.encode(seen).float()
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def seen(self, x: Tensor) -> Tensor:
        """What network and linear path see of normalised fields: the fields, or their modes."""
        return x if self.modes is None else self.modes.encode(x)

    def fields(self, seen: Tensor) -> Tensor:
        """The normalised fields `b c y x` of what network and linear path put out."""
        return seen if self.modes is None else self.modes.decode(seen)

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
        rows = self.design.factor // self.design.patch  # of the features, for each latent's
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
            before = min(first, 1) * self.design.factor
            fields = fields + _rows(self.linear.decode(latents), before, fields.shape[2])
        if self.further is not None:
            further = self.further(further)
        return self.fields(fields), further

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
            last.bias[self.design.latent_channels :] = INITIAL_LOG_VARIANCE


def _rows(x: Tensor, first: int, count: int) -> Tensor:
    """`count` rows of `x` `b c y x`; all of them at no cost."""
    return x if count == x.shape[2] else x[:, :, first : first + count]


def _encoder(d: CodecDesign, *, inputs: int) -> nn.Module:
    return nn.Sequential(
        nn.PixelUnshuffle(d.patch),
        nn.Conv2d(inputs * d.patch**2, d.channels[0], 3, padding=1),
        fold_stages(d.channels, d.blocks),
        head(d.channels[-1], 2 * d.latent_channels, kernel=3),
    )


def _trunk(d: CodecDesign) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(d.latent_channels, d.channels[-1], 3, padding=1),
        unfold_stages(d.channels, d.blocks),
    )


def _patches(d: CodecDesign, *, outputs: int) -> nn.Module:
    """From features to cells, the mirror of the encoder's first layer."""
    last = head(d.channels[0], outputs * d.patch**2, kernel=1)
    return nn.Sequential(last, nn.PixelShuffle(d.patch))


def _last_convolution(network: nn.Module) -> nn.Conv2d:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
