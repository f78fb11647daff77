"""The seam between physical states and what the diffusion model sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from autoencoder.mixing import exchange_thickness, mix
from autoencoder.ocean import OceanMemory, land_and_position, ocean_channels
from autoencoder.settings import CodecDesign
from autoencoder.strips import Strip, strips_of_rows
from autoencoder.volume_vae import Decoded, VolumeVAE
from data.errors import UserError
from data.grid import OceanGrid
from data.normalisation import Statistics
from data.state import State
from guidance.stratification import wet_pairs

Features = tuple[Tensor, ...]


class Codec(OceanMemory, ModelMixin, ABC):
    """Turns states in physical units into standardised latents `b c h w` and back.

    A codec carries everything that its states need. It is saved with `save_pretrained` as
    safetensors and JSON. Codecs are in this module, where pipelines of diffusers look for the class
    and for `ModelMixin`.
    """

    _static_maps: Tensor | None = None

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a latent."""

    @abstractmethod
    def encode(self, state: State) -> Tensor:
        """A state to the mean of its latents, standardised `b c h w`."""

    @abstractmethod
    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """A state to mean and standard deviation of its latents, each `b c h w`."""

    def decode(self, latents: Tensor) -> State:
        """Standardised latents `b c h w` to a state in physical units, land 0."""
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
        """The part of the work of `decode` that needs all latents, tensors `b f h w`.

        Differentiable, and small beside a state: to be kept while the state is made in strips.
        """

    @abstractmethod
    def cut(self, features: Features, strip: Strip) -> Features:
        """Views of what a strip needs of the features of all latents."""

    @abstractmethod
    def decode_strip(self, cut: Features, strip: Strip) -> State:
        """The rows of the state that `strip` says, from what `cut` gives for it."""

    @property
    def has_linear_decoder(self) -> bool:
        """Whether there is a `decode_linearly`."""
        return True

    @abstractmethod
    def decode_linearly(self, latents: Tensor) -> State:
        """A linear stand-in for `decode`, cheap to differentiate: `b c h w` to a whole state."""

    def strips(self, batch: int) -> list[Strip]:
        """Strips of rows that make up the ocean, for `batch` states at a time."""
        return strips_of_rows(
            self.padding,
            latent_rows=self.latent_shape[1],
            channels=batch * self.statistics.channels,
            device=self.grid_wet.device,
        )

    @property
    @abstractmethod
    def latent_weight(self) -> Tensor:
        """Weight of each latent number in the denoising loss, `c h w`: 0 where nothing is wet."""

    @property
    def compression(self) -> float:
        """Numbers in a state (its wet cells) per number in a latent."""
        return float(self.statistics.wet.sum()) / float(np.prod(self.latent_shape))

    @property
    def static_maps(self) -> Tensor:
        """What the denoiser knows of each latent cell, `5 h w`; see `land_and_position`."""
        if self._static_maps is None:
            with torch.inference_mode(False):  # they may be met again where gradients are
                self._static_maps = self._make_static_maps()
        return self._static_maps.to(self.grid_wet.device)

    def _make_static_maps(self) -> Tensor:
        wet = torch.stack([self.grid_wet[0], self.grid_wet.mean(dim=0)]).float()
        _, rows, columns = self.latent_shape
        return land_and_position(self.padding.pad(wet), rows=rows, columns=columns)

    def adopt(self, grid: OceanGrid, statistics: Statistics) -> None:
        """Take over the grid and the statistics of the training data."""
        super().adopt(grid, statistics)
        self._static_maps = None


class IdentityCodec(Codec):
    """Data space: the latents are the normalised state, padded for the network.

    ocean: as `describe_ocean` gives it
    multiple: of which the network's rows and columns are multiples
    """

    @register_to_config
    def __init__(self, ocean: dict[str, Any], multiple: int) -> None:
        super().__init__()
        self._register_ocean(ocean)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the padded state."""
        return (len(self.statistics.std), *self.padding.padded_shape)

    def encode(self, state: State) -> Tensor:
        """The normalised, padded state `b c y x`."""
        return self.network_input(state)

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """The normalised, padded state `b c y x`, and a standard deviation of 0."""
        mean = self.encode(state)
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

    def decode_linearly(self, latents: Tensor) -> State:
        """As `decode`, which is linear here."""
        return self.decode(latents)

    @property
    def latent_weight(self) -> Tensor:
        """The wet mask, padded `c h w`."""
        return self.padding.pad(self.statistics.wet.float())


class VolumeCodec(Codec):
    """Latent space: a `VolumeVAE` between the normalised state and the latents.

    Latents are standardised per channel over the whole training set, which
    `autoencoder.fitting.standardise_latents` does once the VAE is trained.

    ocean: as `describe_ocean` gives it
    multiple: of which the network's rows and columns are multiples
    design: as `CodecDesign` has it
    """

    @register_to_config
    def __init__(self, ocean: dict[str, Any], multiple: int, design: dict[str, Any]) -> None:
        super().__init__()
        self.design = CodecDesign(**design)
        self._register_ocean(ocean)
        self.vae = VolumeVAE(
            in_channels=ocean_channels(ocean),
            further_channels=self.design.mixing * (ocean["levels"] - 1),
            periodic_x=ocean["periodic_x"],
            design=design,
        )
        # A raw latent number is `latent_mean` plus `latent_unit` times the standardised one.
        self.register_buffer("latent_mean", torch.zeros(self.design.latent_channels))
        self.register_buffer("latent_unit", torch.ones(self.design.latent_channels))

    @classmethod
    def from_config(cls, config: Any, **options: Any) -> Any:
        """As in diffusers. Raises `UserError` for a codec that an earlier version wrote."""
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

    def encode(self, state: State) -> Tensor:
        """A state to the mean of the VAE's posterior, standardised `b l h w`."""
        return self.encode_distribution(state)[0]

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """A state to mean and standard deviation of the posterior, standardised `b l h w`."""
        mean, log_variance = self.vae.encode(self.network_input(state))
        shift, scale = self._standardisation()
        return (mean - shift) / scale, torch.exp(0.5 * log_variance) / scale

    def features(self, latents: Tensor) -> Features:
        """What the VAE's trunk makes of standardised latents, and the raw latents."""
        shift, scale = self._standardisation()
        latents = latents * scale + shift
        return self.vae.features(latents), latents

    def cut(self, features: Features, strip: Strip) -> Features:
        """The strip's own rows, and the raw latents of one more row on each side."""
        return self.vae.cut(*features, strip.first, strip.last)

    def decode_strip(self, cut: Features, strip: Strip) -> State:
        """The strip's rows in physical units, mixed."""
        decoded = self.vae.decode_rows(*cut, first=strip.first)
        return self.reconstruct(decoded, first=strip.first * self.design.factor)

    @property
    def has_linear_decoder(self) -> bool:
        """Whether the VAE has a linear path."""
        return self.vae.linear is not None

    def decode_linearly(self, latents: Tensor) -> State:
        """The linear path alone, without the network's part and without mixing.

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
        """What the VAE's decoder put out, padded, as a state; the mixing comes last.

        `decoded` holds the padded rows from `first` on, or some of them.
        """
        fields, raw = (self.padding.crop(made.float(), first=first) for made in decoded)
        rows = self.padding.ocean_rows(first, first + decoded[0].shape[2])
        physical = self.statistics.to_physical(fields, rows=rows)
        levels = self.statistics.levels
        if not self.design.mixing:
            return State.from_channels(physical, levels=levels)
        tracers, rest = physical.split([2 * levels, physical.shape[1] - 2 * levels], dim=1)
        thickness = self.grid_thickness[:, rows].to(physical.dtype)
        pairs = wet_pairs(self.statistics.wet[:levels, rows])
        exchange = exchange_thickness(raw, thickness, pairs)
        mixed = mix(tracers.unflatten(1, (2, levels)), exchange, thickness)
        temperature, salinity = mixed.unbind(1)
        return State(temperature, salinity, rest[:, 0] if rest.shape[1] else None)

    @property
    def latent_weight(self) -> Tensor:
        """1 everywhere, `l h w`."""
        return torch.ones(self.latent_shape, device=self.latent_mean.device)

    def _standardisation(self) -> tuple[Tensor, Tensor]:
        return self.latent_mean[:, None, None], self.latent_unit[:, None, None]
