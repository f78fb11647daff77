"""The VAE of ocean volumes: levels and variables are channels, rows and columns are compressed."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import Decoder as ConvolutionalDecoder
from diffusers.models.autoencoders.vae import Encoder as ConvolutionalEncoder
from torch import Tensor, nn

from autoencoder.layers import SaturatedLatents, fold_stages, head, unfold_stages, zero
from autoencoder.linear import ColumnModes, LappedMap
from autoencoder.periodic import make_periodic

LOG_VARIANCE_RANGE = (-30.0, 10.0)
EXCHANGE_MODES = 8
INITIAL_LOG_VARIANCE = -4.0  # beside a linear path, whose latents have variance 1

Network = Literal["folded", "convolutional"]


# Normalised fields `b c y x` and the further channels `b d y x`, of which there may be none.
Decoded = tuple[Tensor, Tensor]


class _Reading(NamedTuple):
    """Rows `start` to `stop` - 1, of which the first `before` are those around what is made."""

    start: int
    stop: int
    before: int


class VolumeVAE(ModelMixin, ConfigMixin):
    """Encodes `b c y x` (normalised, y and x multiples of `factor`) to a Gaussian over `b l h w`.

    in_channels: c, all levels of all variables
    latent_channels: l
    out_channels: channels of what is decoded, c and further ones; c if None
    network: "folded" works on folded cells, near the resolution of the latents; "convolutional"
        is the autoencoder of latent image diffusion (diffusers), which starts at full resolution
    patch: cells a side that the first layer folds into channels (folded)
    channels: width of each stage; each stage after the first halves y and x
    blocks: residual blocks in a stage
    shortcuts: whether folds and unfolds learn a change of a parameter-free map (folded)
    periodic_x: whether the x axis closes on itself
    vertical_modes: number of modes of the column that stand between the fields and all that
        follows, network and linear path; 0: none
    train_modes: whether training may change the modes
    linear_path: whether a linear map of windows runs beside the network, which learns the rest
    latent_noise: standard deviation of the noise on softly bounded latents; 0: a learnt Gaussian
    head_kernel: cells a side that the decoder's last convolution looks at, 1 or 3 (folded): the
        layer with most outputs, all of the fields of a patch
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
        network: Network = "folded",
        shortcuts: bool = True,
        vertical_modes: int = 0,
        train_modes: bool = True,
        linear_path: bool = False,
        latent_noise: float = 0.0,
        head_kernel: int = 1,
    ) -> None:
        super().__init__()
        channels = tuple(channels)
        further = (out_channels or in_channels) - in_channels
        self._seen, made, self.further = in_channels, further, None
        if vertical_modes:
            self.modes = ColumnModes(in_channels, vertical_modes, trainable=train_modes)
            self._seen, made = vertical_modes, min(further, EXCHANGE_MODES)
            self.further = nn.Conv2d(made, further, 1) if further else None
        seen, made = self._seen, self._seen + made
        if network == "convolutional":
            self.encoder = _convolutional_encoder(seen, 2 * latent_channels, channels, blocks)
            self.trunk: nn.Module = nn.Identity()
            self.head: nn.Module = _convolutional_decoder(latent_channels, made, channels, blocks)
        else:
            self.encoder = _encoder(seen, 2 * latent_channels, patch, channels, blocks, shortcuts)
            self.trunk = _trunk(latent_channels, channels, blocks, shortcuts)
            self.head = _patches(channels[0], made, patch, kernel=head_kernel)
        self.linear = None
        if linear_path:
            self.linear = LappedMap(seen, latent_channels, self.factor, periodic_x=periodic_x)
            self._leave_all_to_linear_path()
        self.saturate = SaturatedLatents() if latent_noise else nn.Identity()
        if periodic_x:
            make_periodic(self)

    @property
    def bounded(self) -> bool:
        """Whether latents are bounded and noised by a fixed amount, instead of a learnt one."""
        return self.config.latent_noise > 0

    @property
    def factor(self) -> int:
        """How many cells a side one latent cell stands for."""
        return cells_per_latent(
            self.config.network, patch=self.config.patch, stages=len(self.config.channels)
        )

    @property
    def fold(self) -> int:
        """How many cells a side one cell of the features stands for."""
        return self.factor if self.config.network == "convolutional" else self.config.patch

    @property
    def reach(self) -> int | None:
        """How many latent cells away a decoded cell may depend on; None: on all of them."""
        if self.config.network == "convolutional":
            return None
        blocks, stages = self.config.blocks, len(self.config.channels)
        # The first convolution and the deepest blocks; blocks at finer stages; the head, which
        # comes out at a coarser grid's edge; the linear path.
        cells = 1.0 + 2 * blocks
        cells += sum(2 * blocks / 2**stage for stage in range(1, stages))
        return math.ceil(cells + (self.config.head_kernel // 2) / 2 ** (stages - 1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, each `b l h w`."""
        seen = self.modes.encode(x) if self.config.vertical_modes else x
        mean, log_variance = self.encoder(seen).float().chunk(2, dim=1)
        if self.linear is not None:
            mean = mean + self.linear.encode(seen).float()
        if self.bounded:
            constant = 2 * math.log(self.config.latent_noise)
            return self.saturate(mean), torch.full_like(mean, constant)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latents: Tensor) -> Decoded:
        """Latents `b l h w` to normalised fields `b c y x` and the further channels."""
        rows = latents.shape[2]
        return self.decode_rows(self.features(latents), latents, 0, rows, rows=rows)

    def features(self, latents: Tensor) -> Tensor:
        """What the decoder knows before its last layer, `b f v u`; the latents if convolutional."""
        return self.trunk(latents)

    def cut(
        self, features: Tensor, latents: Tensor, first: int, last: int
    ) -> tuple[Tensor, Tensor]:
        """Views of what the cells of latent rows `first` to `last` - 1 need of both."""
        rows = latents.shape[2]
        known, windows = self._reads(first, last, rows)
        return features[:, :, known.start : known.stop], latents[:, :, windows.start : windows.stop]

    def decode_rows(
        self, features: Tensor, latents: Tensor, first: int, last: int, *, rows: int
    ) -> Decoded:
        """The cells of latent rows `first` to `last` - 1 of `rows`, from what `cut` gives."""
        known, windows = self._reads(first, last, rows)
        made = self.head(features).float()
        made = _rows(made, known.before * self.fold, (last - first) * self.factor)
        fields, further = made.split([self._seen, made.shape[1] - self._seen], dim=1)
        if self.linear is not None:
            linear = self.linear.decode(latents)
            fields = fields + _rows(
                linear, windows.before * self.factor, (last - first) * self.factor
            )
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

    def _reads(self, first: int, last: int, rows: int) -> tuple[_Reading, _Reading]:
        """Which rows of the features and of the latents some latent rows' cells depend on."""
        finer = self.factor // self.fold
        if self.config.network == "convolutional":
            known = _Reading(0, rows * finer, first * finer)
        else:
            around = self.config.head_kernel // 2
            known = _reading(first * finer, last * finer, rows * finer, around=around)
        return known, _reading(first, last, rows, around=int(self.linear is not None))

    def _leave_all_to_linear_path(self) -> None:
        """Start with networks that put out 0, and a posterior narrower than the latents."""
        zero(_last_convolution(self.head))
        last = zero(_last_convolution(self.encoder))
        assert last.bias is not None
        with torch.no_grad():
            last.bias[self.config.latent_channels :] = INITIAL_LOG_VARIANCE


def _reading(first: int, last: int, rows: int, *, around: int) -> _Reading:
    start = max(first - around, 0)
    return _Reading(start, min(last + around, rows), first - start)


def _rows(x: Tensor, first: int, count: int) -> Tensor:
    """`count` rows of `x` `b c y x`; all of them at no cost."""
    return x if count == x.shape[2] else x[:, :, first : first + count]


def cells_per_latent(network: Network, *, patch: int, stages: int) -> int:
    """How many cells a side a latent cell stands for, in a network of so many stages."""
    first = 1 if network == "convolutional" else patch
    return first * 2 ** (stages - 1)


def _encoder(
    inputs: int,
    outputs: int,
    patch: int,
    channels: tuple[int, ...],
    blocks: int,
    shortcuts: bool,
) -> nn.Module:
    return nn.Sequential(
        nn.PixelUnshuffle(patch),
        nn.Conv2d(inputs * patch**2, channels[0], 3, padding=1),
        fold_stages(channels, blocks, shortcuts=shortcuts),
        head(channels[-1], outputs),
    )


def _trunk(inputs: int, channels: tuple[int, ...], blocks: int, shortcuts: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, channels[-1], 3, padding=1),
        unfold_stages(channels, blocks, shortcuts=shortcuts),
    )


def _patches(width: int, outputs: int, patch: int, *, kernel: int) -> nn.Module:
    """From features to cells, the mirror of the encoder's first layer."""
    return nn.Sequential(head(width, outputs * patch**2, kernel=kernel), nn.PixelShuffle(patch))


def _convolutional_encoder(
    inputs: int, outputs: int, channels: tuple[int, ...], blocks: int
) -> nn.Module:
    return ConvolutionalEncoder(
        in_channels=inputs,
        out_channels=outputs,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=blocks,
        norm_num_groups=8,
        double_z=False,
        mid_block_add_attention=False,
    )


def _convolutional_decoder(
    inputs: int, outputs: int, channels: tuple[int, ...], blocks: int
) -> nn.Module:
    return ConvolutionalDecoder(
        in_channels=inputs,
        out_channels=outputs,
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=blocks - 1 or 1,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def _last_convolution(network: nn.Module) -> nn.Conv2d:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
