"""The VAE of ocean volumes: levels and variables are channels; rows and columns are compressed."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from autoencoder.layers import fold_stages, head, unfold_stages, zero
from autoencoder.linear import ColumnModes, LappedMap
from autoencoder.periodic import make_periodic
from autoencoder.precision import single_or_better
from autoencoder.reach import reach_of
from autoencoder.settings import CodecDesign

LOG_VARIANCE_RANGE = (-30.0, 10.0)
EXCHANGE_MODES = 8
INITIAL_LOG_VARIANCE = -4.0  # with a linear path, whose latents have variance 1

# Normalised fields `b c y x` and the raw vertical exchange `b d y x` (d may be 0).
Decoded = tuple[Tensor, Tensor]


class VolumeVAE(ModelMixin, ConfigMixin):
    """Encodes normalised fields `b c y x` to a Gaussian over latents `b l h w`.

    y and x are multiples of the design's `factor`.

    in_channels: c, all levels of all variables
    exchange_channels: d, decoded in addition to c; the raw exchange of `autoencoder.mixing`
    periodic_x: whether the x axis is periodic
    design: the fields of `CodecDesign`; l is its latent_channels. Vertical modes are applied before
        both network and linear path. With a linear path the network learns the residual.
    encodes: whether there is an encoder; without, only `decode` and its parts can be called
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        in_channels: int,
        exchange_channels: int,
        periodic_x: bool,
        design: dict[str, Any],
        encodes: bool = True,
    ) -> None:
        super().__init__()
        self.design = d = CodecDesign(**design)
        self._inputs, exchanges = in_channels, exchange_channels
        self.modes = self.exchange = self.linear = None
        if d.vertical_modes:
            self.modes = ColumnModes(in_channels, d.vertical_modes)
            self._inputs, exchanges = d.vertical_modes, min(exchange_channels, EXCHANGE_MODES)
            if exchange_channels:
                self.exchange = nn.Conv2d(exchanges, exchange_channels, 1)
        self.encoder = _encoder(d, inputs=self._inputs) if encodes else None
        self.trunk = _trunk(d)
        self.head = _patches(d, outputs=self._inputs + exchanges)
        if d.linear_path:
            self.linear = LappedMap(
                self._inputs, d.latent_channels, d.factor, periodic_x=periodic_x
            )
            self._start_at_linear_path()
        if periodic_x:
            make_periodic(self)

    @property
    def reach(self) -> int:
        """Radius, in latent cells, of the latents on which a decoded cell depends.

        The linear path reaches 1, never farther than the network.
        """
        cells = reach_of(self.trunk, self.head, width=self.design.factor)
        return -(-cells // self.design.factor)

    @property
    def halo(self) -> int:
        """Radius, in latent cells, of the cells on which a reconstructed cell depends.

        A window with so many latent cells around it is reconstructed as within the whole field.
        """
        assert self.encoder is not None, "only a codec with an encoder reconstructs"
        return self.reach + -(-reach_of(self.encoder) // self.design.factor)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, each `b l h w`."""
        assert self.encoder is not None, "the codec refuses to encode without an encoder"
        amplitudes = self.amplitudes(x)
        mean, log_variance = single_or_better(self.encoder(amplitudes)).chunk(2, dim=1)
        if self.linear is not None:
            mean = mean + single_or_better(self.linear.encode(amplitudes))
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def amplitudes(self, x: Tensor) -> Tensor:
        """Amplitudes of vertical modes `b m y x` of fields `b c y x`; the fields without modes."""
        return x if self.modes is None else self.modes.encode(x)

    def fields(self, amplitudes: Tensor) -> Tensor:
        """The inverse of `amplitudes`: `b m y x` to normalised fields `b c y x`."""
        return amplitudes if self.modes is None else self.modes.decode(amplitudes)

    def decode(self, latents: Tensor) -> Decoded:
        """Latents `b l h w` to normalised fields `b c y x` and the raw exchange `b d y x`."""
        return self.decode_rows(self.features(latents), latents, first=0)

    def features(self, latents: Tensor) -> Tensor:
        """The decoder's features before its last layer, `b f v u`."""
        return self.trunk(latents)

    def cut(
        self, features: Tensor, latents: Tensor, first: int, last: int
    ) -> tuple[Tensor, Tensor]:
        """Views of the features and latents needed to decode latent rows `first` to `last` - 1.

        The head needs only these rows; the linear path one more latent row on each side.
        """
        rows = self.design.factor // self.design.patch  # feature rows per latent row
        around = int(self.linear is not None)
        return (
            features[:, :, first * rows : last * rows],
            latents[:, :, max(first - around, 0) : last + around],
        )

    def decode_rows(self, features: Tensor, latents: Tensor, *, first: int) -> Decoded:
        """The cells of the latent rows from `first` on, from the output of `cut`."""
        output = single_or_better(self.head(features))
        fields, exchange = output.split([self._inputs, output.shape[1] - self._inputs], dim=1)
        if self.linear is not None:
            before = min(first, 1) * self.design.factor
            fields = fields + _rows(self.linear.decode(latents), before, fields.shape[2])
        if self.exchange is not None:
            exchange = self.exchange(exchange)
        return self.fields(fields), exchange

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Decoded, Tensor, Tensor]:
        """Reconstruction from a posterior sample with `noise` `b l h w`, mean and log variance."""
        mean, log_variance = self.encode(x)
        fields, exchange = self.decode(mean + torch.exp(0.5 * log_variance) * noise)
        return (single_or_better(fields), single_or_better(exchange)), mean, log_variance

    def _start_at_linear_path(self) -> None:
        """Initialise the networks to output 0, and the posterior narrower than the latents."""
        zero(_last_convolution(self.head))
        if self.encoder is None:
            return
        last = zero(_last_convolution(self.encoder))
        assert last.bias is not None
        with torch.no_grad():
            last.bias[self.design.latent_channels :] = INITIAL_LOG_VARIANCE


def _rows(x: Tensor, first: int, count: int) -> Tensor:
    """`count` rows of `x` `b c y x`, without a copy if these are all rows."""
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
    """From features to cells, the inverse layout of the encoder's first layer."""
    last = head(d.channels[0], outputs * d.patch**2, kernel=1)
    return nn.Sequential(last, nn.PixelShuffle(d.patch))


def _last_convolution(network: nn.Module) -> nn.Conv2d:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
