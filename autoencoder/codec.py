"""Codecs: the interface between physical states and the latents of the diffusion model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from autoencoder.mixing import mixed_state
from autoencoder.ocean import OceanMemory, land_and_position, ocean_channels
from autoencoder.precision import single_or_better
from autoencoder.settings import CodecDesign
from autoencoder.strips import Strip, strips_of_rows
from autoencoder.volume_vae import Decoded, VolumeVAE
from data.errors import UserError
from data.grid import OceanGrid
from data.normalisation import Statistics
from data.state import State

Features = tuple[Tensor, ...]


class Codec(OceanMemory, ModelMixin, ABC):
    """Converts states in physical units to standardised latents `b c h w` and back.

    A codec is self-contained: it holds the grid and the statistics of its states.
    `save_pretrained` writes safetensors and JSON. All codecs are defined in this module because
    diffusers pipelines look here for the class and for `ModelMixin`.
    """

    _static_maps: Tensor | None = None

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a latent."""

    def encode(self, state: State) -> Tensor:
        """The mean of a state's latents, standardised, `b c h w`."""
        return self.encode_distribution(state)[0]

    @abstractmethod
    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a state's latents, standardised, each `b c h w`."""

    def decode(self, latents: Tensor) -> State:
        """The state of standardised latents `b c h w`, in physical units; 0 on land."""
        features = self.features(latents)
        parts = (
            self.decode_strip(self.cut(features, strip), strip)
            for strip in self.strips(len(latents))
        )
        if torch.is_grad_enabled():
            return State.from_rows(list(parts))
        return State.collect_rows(parts, rows=self.padding.rows)

    @abstractmethod
    def features(self, latents: Tensor) -> Features:
        """The part of `decode` that needs all latents: tensors `b f h w`.

        Differentiable. Features are small compared with a state, so they stay in memory while the
        state is decoded in strips.
        """

    @abstractmethod
    def cut(self, features: Features, strip: Strip) -> Features:
        """Views of the features that a strip needs."""

    @abstractmethod
    def decode_strip(self, cut: Features, strip: Strip) -> State:
        """The rows of the state in `strip`, from the features that `cut` returns."""

    @property
    @abstractmethod
    def has_linear_path(self) -> bool:
        """Whether `decode_linearly` works."""

    @abstractmethod
    def decode_linearly(self, latents: Tensor) -> State:
        """A linear approximation of `decode`, cheap to differentiate; latents `b c h w`."""

    def strips(self, batch: int) -> list[Strip]:
        """The strips that cover the ocean when `batch` states are decoded together."""
        return strips_of_rows(
            self.padding,
            latent_rows=self.latent_shape[1],
            channels=batch * self.statistics.channels,
            device=self.grid_wet.device,
        )

    @property
    @abstractmethod
    def latent_weight(self) -> Tensor:
        """Weight of each latent value in the denoising loss, `c h w`; 0 without wet cells."""

    @property
    def compression(self) -> float:
        """Wet-cell values of a state per latent value."""
        return float(self.statistics.wet.sum()) / float(np.prod(self.latent_shape))

    @property
    def static_maps(self) -> Tensor:
        """Inputs of the denoiser for each latent cell, `5 h w`; see `land_and_position`."""
        if self._static_maps is None:
            with torch.inference_mode(False):  # so that training can use the maps later
                self._static_maps = self._make_static_maps()
        return self._static_maps.to(self.grid_wet.device)

    def _make_static_maps(self) -> Tensor:
        share = sum(level.double() for level in self.grid_wet) / len(self.grid_wet)
        wet = torch.stack([self.grid_wet[0].double(), share]).float()
        _, rows, columns = self.latent_shape
        return land_and_position(self.padding.pad(wet), rows=rows, columns=columns)

    def adopt(self, grid: OceanGrid, statistics: Statistics) -> None:
        """Copy the grid and the statistics of the training data."""
        super().adopt(grid, statistics)
        self._static_maps = None


class IdentityCodec(Codec):
    """Data space: the latents are the normalised state, padded for the network.

    ocean: from `describe_ocean`
    multiple: the padded rows and columns are multiples of this
    """

    @register_to_config
    def __init__(self, ocean: dict[str, Any], multiple: int) -> None:
        super().__init__()
        self._register_ocean(ocean)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the padded state."""
        return (len(self.statistics.std), *self.padding.padded_shape)

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """The normalised, padded state `b c y x`, and a standard deviation of 0."""
        mean = self.network_input(state)
        return mean, torch.zeros_like(mean)

    def features(self, latents: Tensor) -> Features:
        """The latents."""
        return (latents,)

    def cut(self, features: Features, strip: Strip) -> Features:
        """The strip's own rows."""
        return (features[0][:, :, strip.first : strip.last],)

    def decode_strip(self, cut: Features, strip: Strip) -> State:
        """The strip's rows in physical units."""
        cropped = self.padding.crop(cut[0], first=strip.first)
        return self.statistics.denormalise(cropped, rows=strip.rows)

    @property
    def has_linear_path(self) -> bool:
        """Always: all of it is linear."""
        return True

    def decode_linearly(self, latents: Tensor) -> State:
        """Same as `decode`, which is linear."""
        return self.decode(latents)

    @property
    def latent_weight(self) -> Tensor:
        """The wet mask, padded `c h w`."""
        return self.padding.pad(self.statistics.wet.float())


class VolumeCodec(Codec):
    """Latent space: a `VolumeVAE` between the normalised state and the latents.

    Latents are standardised per channel over the whole training set by
    `autoencoder.fitting.standardise_latents` after the training of the VAE.

    ocean: from `describe_ocean`
    multiple: the padded rows and columns are multiples of this
    design: the fields of `CodecDesign`
    encodes: whether it has its encoder; a model may be released without
    """

    @register_to_config
    def __init__(
        self,
        ocean: dict[str, Any],
        multiple: int,
        design: dict[str, Any],
        encodes: bool = True,
    ) -> None:
        super().__init__()
        self.design = CodecDesign(**design)
        self._register_ocean(ocean)
        self.vae = VolumeVAE(
            in_channels=ocean_channels(ocean),
            exchange_channels=self.design.mixing * (ocean["levels"] - 1),
            periodic_x=ocean["periodic_x"],
            design=design,
            encodes=encodes,
        )
        # raw latent = latent_mean + latent_unit * standardised latent
        self.register_buffer("latent_mean", torch.zeros(self.design.latent_channels))
        self.register_buffer("latent_unit", torch.ones(self.design.latent_channels))

    @classmethod
    def from_config(cls, config: Any, **options: Any) -> Any:
        """As in diffusers. Raises `UserError` for a codec written by an earlier version."""
        if "design" not in config:
            raise UserError(
                "an earlier version of Halocline wrote this codec, and its config.json has no "
                "`design`: train the codec again, or use that version."
            )
        return super().from_config(config, **options)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a latent."""
        rows, columns = self.padding.padded_shape
        factor = self.design.factor
        return self.design.latent_channels, rows // factor, columns // factor

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior, standardised, each `b l h w`.

        Raises `UserError` for a codec that was released without its encoder.
        """
        if not self.config.encodes:
            raise UserError(
                "this model was packed without its encoder: it draws states, but cannot encode "
                "any; pack it again with the encoder, or use the run that it was made from"
            )
        mean, log_variance = self.vae.encode(self.network_input(state))
        shift, scale = self._standardisation()
        return (mean - shift) / scale, torch.exp(0.5 * log_variance) / scale

    def features(self, latents: Tensor) -> Features:
        """The output of the VAE's trunk for standardised latents, and the raw latents."""
        shift, scale = self._standardisation()
        latents = latents * scale + shift
        return self.vae.features(latents), latents

    def cut(self, features: Features, strip: Strip) -> Features:
        """The strip's own rows of features, and its raw latents with one more row on each side."""
        return self.vae.cut(*features, strip.first, strip.last)

    def decode_strip(self, cut: Features, strip: Strip) -> State:
        """The strip's rows in physical units, after mixing."""
        decoded = self.vae.decode_rows(*cut, first=strip.first)
        return self.reconstruct(decoded, first=strip.first * self.design.factor)

    @property
    def has_linear_path(self) -> bool:
        """Whether the autoencoder was designed with one."""
        return self.vae.linear is not None

    def decode_linearly(self, latents: Tensor) -> State:
        """The linear path alone, without the network and without mixing.

        Raises `UserError` for an autoencoder without a linear path.
        """
        if self.vae.linear is None:
            raise UserError(
                "this autoencoder has no linear path; train one with autoencoder.linear_path"
            )
        shift, scale = self._standardisation()
        fields = self.vae.fields(self.vae.linear.decode(latents * scale + shift))
        return self.statistics.denormalise(self.padding.crop(fields))

    def reconstruct(self, decoded: Decoded, *, first: int = 0) -> State:
        """The state of the VAE decoder's padded output, mixed last.

        first: the first padded row in `decoded`
        """
        parts = (single_or_better(part) for part in decoded)
        fields, raw = (self.padding.crop(part, first=first) for part in parts)
        rows = self.padding.ocean_rows(first, first + decoded[0].shape[2])
        physical = self.statistics.to_physical(fields, rows=rows)
        if not self.design.mixing:
            return State.from_channels(physical, levels=self.statistics.levels)
        thickness = self.grid_thickness[:, rows].to(physical.dtype)
        return mixed_state(physical, raw, thickness, self.statistics.wet[:, rows])

    @property
    def latent_weight(self) -> Tensor:
        """1 everywhere, `l h w`."""
        return torch.ones(self.latent_shape, device=self.latent_mean.device)

    def _standardisation(self) -> tuple[Tensor, Tensor]:
        return self.latent_mean[:, None, None], self.latent_unit[:, None, None]
