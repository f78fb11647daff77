"""The seam between physical states and what the diffusion model sees."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from autoencoder.linear import fit
from autoencoder.mixing import exchange_thickness, mix
from autoencoder.volume_vae import Decoded, Network, VolumeVAE
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid, Padding
from data.normalisation import Statistics
from data.state import State
from guidance.stratification import wet_pairs

# Numbers of a state in a strip: 1 MB in float32, which stays in a processor's cache; on an
# accelerator what is large enough to fill it (not measured).
STRIP_NUMBERS, ACCELERATOR_STRIP_NUMBERS = 2**18, 2**26
EFFECT_PROBE = 0.3  # standard deviations by which latents are moved to measure their effect

Features = tuple[Tensor, ...]


class Strip(NamedTuple):
    """Latent rows `first` to `last` - 1, and the rows of the ocean that they decode to."""

    first: int
    last: int
    rows: slice


class Codec(ModelMixin, ConfigMixin):
    """Turns states in physical units into standardised latents `b c h w` and back.

    A codec carries everything that its states need: statistics, grid, wet mask, the name of the
    equation of state and the kind of salinity. It is saved with `save_pretrained` as safetensors
    and JSON.
    """

    def _register_ocean(self, ocean: dict[str, Any]) -> None:
        levels, rows, columns = ocean["levels"], ocean["rows"], ocean["columns"]
        channels = 2 * levels + ocean["sea_level"]
        self.statistics = Statistics(
            torch.zeros(channels, rows, columns),
            torch.ones(channels),
            torch.zeros(channels, rows, columns, dtype=torch.bool),
            levels=levels,
            grid_digest=ocean["grid_digest"],
        )
        self._static_maps: Tensor | None = None
        shapes = {
            "depth": (levels,),
            "thickness": (levels, rows, columns),
            "area": (rows, columns),
            "wet": (levels, rows, columns),
            "longitude": (rows, columns) if ocean["curvilinear"] else (columns,),
            "latitude": (rows, columns) if ocean["curvilinear"] else (rows,),
        }
        for name, shape in shapes.items():
            self.register_buffer(f"grid_{name}", torch.zeros(shape, dtype=torch.float64))

    def adopt(self, grid: OceanGrid, statistics: Statistics) -> None:
        """Take over the grid and the statistics of the training data."""
        self.statistics.load_state_dict(statistics.state_dict())
        self._static_maps = None
        for name in ("depth", "thickness", "area", "wet", "longitude", "latitude"):
            values = np.asarray(getattr(grid, name), dtype=np.float64)
            getattr(self, f"grid_{name}").copy_(torch.from_numpy(values))

    @property
    def grid(self) -> OceanGrid:
        """The grid that the codec was trained on."""
        arrays = {
            name: getattr(self, f"grid_{name}").cpu().numpy()
            for name in ("depth", "thickness", "area", "longitude", "latitude")
        }
        return OceanGrid(
            **arrays,
            wet=self.grid_wet.cpu().numpy() > 0,
            periodic_x=self.config.ocean["periodic_x"],
            horizontal_units=self.config.ocean["horizontal_units"],
        )

    @property
    def padding(self) -> Padding:
        """Between the ocean's rows and columns and those of the network."""
        _, rows, columns = self.grid_wet.shape
        return Padding(
            rows, columns, self.config.multiple, periodic_x=self.config.ocean["periodic_x"]
        )

    def network_input(self, state: State) -> Tensor:
        """The normalised, padded state `b c y x`."""
        return self.padding.pad(self.statistics.normalise(state))

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
        """Strips of rows that make up the ocean.

        So small that what `batch` states need of one at a time stays in a processor's cache.
        """
        padded_rows, columns = self.padding.padded_shape
        latent_rows = self.latent_shape[1]
        cells = padded_rows // latent_rows
        numbers = batch * self.statistics.channels * columns * cells
        size = max(1, self._strip_numbers // numbers) if self._makes_strips else latent_rows
        strips = [
            Strip(first, last, self.padding.ocean_rows(first * cells, last * cells))
            for first, last in _spans(latent_rows, size)
        ]
        return [strip for strip in strips if strip.rows.start < strip.rows.stop]

    @property
    def _strip_numbers(self) -> int:
        on_processor = self.grid_wet.device.type in ("cpu", "meta")
        return STRIP_NUMBERS if on_processor else ACCELERATOR_STRIP_NUMBERS

    @property
    def _makes_strips(self) -> bool:
        """Whether a strip costs less than the whole."""
        return True

    @property
    @abstractmethod
    def latent_weight(self) -> Tensor:
        """Weight of each latent number in the denoising loss, `c h w`: 0 where nothing is wet."""

    @property
    def compression(self) -> float:
        """Numbers in a state (its wet cells) per number in a latent."""
        return float(self.statistics.wet.sum()) / float(np.prod(self.latent_shape))

    @property
    def fingerprint(self) -> str:
        """Changes with any weight or statistic: tells whose latents a cache holds."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def static_maps(self) -> Tensor:
        """What the denoiser is told of each latent cell, `5 h w`; computed once.

        Wet share of the surface and of the column, distance north (-1 to 1), cosine and sine of the
        position in x.

        Without them a network with periodic convolutions cannot know where it is.
        """
        if self._static_maps is None:
            with torch.inference_mode(False):  # they may be met again where gradients are
                self._static_maps = self._make_static_maps()
        return self._static_maps.to(self.grid_wet.device)

    def _make_static_maps(self) -> Tensor:
        wet = torch.stack([self.grid_wet[0], self.grid_wet.mean(dim=0)]).float()
        _, rows, columns = self.latent_shape
        surface, column = F.adaptive_avg_pool2d(self.padding.pad(wet), (rows, columns))
        north = torch.linspace(-1, 1, rows, device=wet.device)[:, None].expand(rows, columns)
        angle = torch.arange(columns, device=wet.device).expand(rows, columns) * (
            2 * math.pi / columns
        )
        return torch.stack([surface, column, north, angle.cos(), angle.sin()])

    def check_grid(self, grid: OceanGrid) -> None:
        """Raises `UserError` unless `grid` is the one that the codec was trained on."""
        self.statistics.check_grid(grid)

    def check_archive(self, archive: StateArchive) -> None:
        """Raises `UserError`, naming the first difference, unless the codec fits the archive.

        It must have the grid, variables, units and equation of state of the training data.
        """
        self.check_grid(archive.grid)
        found = describe_ocean(archive)
        for name in ("sea_level", "salinity_units", "equation_of_state"):
            if found[name] != self.config.ocean[name]:
                raise UserError(
                    f"the archive has {name.replace('_', ' ')} {found[name]}, but the model was "
                    f"trained with {self.config.ocean[name]}: use a model of such data, or train "
                    "one."
                )


def describe_ocean(archive: Archive) -> dict[str, Any]:
    """What a codec's configuration says of the ocean that it was made for."""
    levels, rows, columns = archive.grid.shape
    return {
        "levels": levels,
        "rows": rows,
        "columns": columns,
        "sea_level": archive.has_sea_level,
        "equation_of_state": archive.equation_of_state,
        "salinity_units": archive.salinity_units,
        "periodic_x": archive.grid.periodic_x,
        "horizontal_units": archive.grid.horizontal_units,
        "curvilinear": archive.grid.longitude.ndim == 2,
        "grid_digest": archive.grid.digest,
    }


class IdentityCodec(Codec):
    """Data space: the latents are the normalised state, padded for the network."""

    @register_to_config
    def __init__(self, ocean: dict[str, Any], multiple: int) -> None:
        super().__init__()
        self._register_ocean(ocean)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        return (len(self.statistics.std), *self.padding.padded_shape)

    def encode(self, state: State) -> Tensor:
        return self.network_input(state)

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        mean = self.encode(state)
        return mean, torch.zeros_like(mean)

    def features(self, latents: Tensor) -> Features:
        return (latents,)

    def cut(self, features: Features, strip: Strip) -> Features:
        return (features[0][:, :, strip.first : strip.last],)

    def decode_strip(self, cut: Features, strip: Strip) -> State:
        cropped = self.padding.crop(cut[0], first=strip.first)
        return self.statistics.denormalise(cropped, rows=strip.rows)

    def decode_linearly(self, latents: Tensor) -> State:
        return self.decode(latents)

    @property
    def latent_weight(self) -> Tensor:
        return self.padding.pad(self.statistics.wet.float())


class VolumeCodec(Codec):
    """Latent space: a `VolumeVAE` between the normalised state and the latents.

    Latents are standardised per channel over the whole training set, which `standardise` does once
    the VAE is trained: mean 0, and a standard deviation in proportion to the channel's effect on
    the decoded state to the power of `effect_exponent`, with a mean square over channels of 1. With
    0 all are alike. With 1 a change of any latent number changes the state by as much, so the noise
    of diffusion hides what matters least first, as it does in data space.
    """

    @register_to_config
    def __init__(
        self,
        ocean: dict[str, Any],
        multiple: int,
        latent_channels: int,
        patch: int,
        channels: tuple[int, ...],
        blocks: int,
        mixing: bool = True,
        network: Network = "folded",
        shortcuts: bool = True,
        vertical_modes: int = 0,
        train_modes: bool = True,
        linear_path: bool = False,
        latent_noise: float = 0.0,
        head_kernel: int = 1,
        effect_exponent: float = 1.0,
    ) -> None:
        super().__init__()
        self._register_ocean(ocean)
        self._fields = 2 * ocean["levels"] + ocean["sea_level"]
        self.vae = VolumeVAE(
            in_channels=self._fields,
            out_channels=self._fields + mixing * (ocean["levels"] - 1),
            latent_channels=latent_channels,
            patch=patch,
            channels=channels,
            blocks=blocks,
            periodic_x=ocean["periodic_x"],
            network=network,
            shortcuts=shortcuts,
            vertical_modes=vertical_modes,
            train_modes=train_modes,
            linear_path=linear_path,
            latent_noise=latent_noise,
            head_kernel=head_kernel,
        )
        # A raw latent number is `latent_mean` plus `latent_unit` times the standardised one.
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_unit", torch.ones(latent_channels))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        rows, columns = self.padding.padded_shape
        factor = self.vae.factor
        return self.config.latent_channels, rows // factor, columns // factor

    def fit_linear_maps(self, states: Callable[[], Iterable[State]]) -> None:
        """Set the VAE's vertical modes and linear path, where it has them, to the states' own."""

        def inputs() -> Iterator[Tensor]:
            return (self.network_input(state) for state in states())

        if self.vae.config.vertical_modes:
            fit(self.vae.modes, inputs, self.vae.config.vertical_modes)
        if self.vae.linear is not None:
            seen = self.vae.modes.encode if self.vae.config.vertical_modes else torch.nn.Identity()
            fit(self.vae.linear, lambda: map(seen, inputs()), self.config.latent_channels)

    @torch.no_grad()
    def standardise(self, states: Iterable[State]) -> None:
        """Measure what the latents are standardised by, over the training states in batches."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for state in states:
            mean, log_variance = self.vae.encode(self.network_input(state))
            count += mean[:, 0].numel()
            total = total + mean.double().sum(dim=(0, 2, 3))
            # The variance of the draws: that of the means plus the posterior's own.
            squares = squares + (mean.double().square() + log_variance.double().exp()).sum(
                dim=(0, 2, 3)
            )
        std = (squares / count - (total / count).square()).clamp_min(1e-12).sqrt().float()
        self.latent_mean.copy_(total / count)
        self.latent_unit.copy_(std)
        if self.config.effect_exponent:
            spread = self._effects(state) ** self.config.effect_exponent
            self.latent_unit.copy_(std / (spread / spread.square().mean().sqrt()))

    def _effects(self, state: State) -> Tensor:
        """Rms change of the decoded states, normalised, when one channel of the latents is moved.

        By a random part of its own standard deviation everywhere, `l`; latents have variance 1.
        """
        latents, generator = self.encode(state), torch.Generator().manual_seed(0)
        before, effects = self.statistics.normalise(self.decode(latents)), []
        for channel in range(latents.shape[1]):
            moved = latents.clone()
            noise = torch.randn(moved[:, channel].shape, generator=generator)
            moved[:, channel] += EFFECT_PROBE * noise.to(moved)
            change = self.statistics.normalise(self.decode(moved)) - before
            effects.append(change.square().sum().sqrt())
        return torch.stack(effects)

    def encode(self, state: State) -> Tensor:
        return self.encode_distribution(state)[0]

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.vae.encode(self.network_input(state))
        shift, scale = self._standardisation()
        return (mean - shift) / scale, torch.exp(0.5 * log_variance) / scale

    def features(self, latents: Tensor) -> Features:
        shift, scale = self._standardisation()
        latents = latents * scale + shift
        return self.vae.features(latents), latents

    def cut(self, features: Features, strip: Strip) -> Features:
        return self.vae.cut(*features, strip.first, strip.last)

    def decode_strip(self, cut: Features, strip: Strip) -> State:
        decoded = self.vae.decode_rows(*cut, strip.first, strip.last, rows=self.latent_shape[1])
        return self.reconstruct(decoded, first=strip.first * self.vae.factor)

    @property
    def has_linear_decoder(self) -> bool:
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
        fields = self.vae.linear.decode(latents * scale + shift)
        if self.vae.config.vertical_modes:
            fields = self.vae.modes.decode(fields)
        return self.statistics.denormalise(self.padding.crop(fields))

    def decode_in_tiles(self, latents: Tensor, *, tile: tuple[int, int]) -> State:
        """As `decode`, at most `tile` latent rows and columns at once, for grids that do not fit.

        latents: standardised, `b c h w`; tile: rows and columns of latent cells
        Each tile is decoded with as many latent cells around it as its cells depend on, so tiles
        join without a seam: the result is that of `decode` to rounding. Raises `UserError` for a
        network that looks at the whole field at once.
        """
        reach = self.vae.reach
        if reach is None:
            raise UserError(
                "this autoencoder's network normalises over the whole field and cannot decode in "
                "tiles; decode whole states, or train one with `autoencoder.network: folded`"
            )
        shift, scale = self._standardisation()
        latents = latents * scale + shift
        rows = []
        for top, bottom in _spans(latents.shape[2], tile[0]):
            row = [
                self._decode_tile(latents, (top, bottom), columns, reach)
                for columns in _spans(latents.shape[3], tile[1])
            ]
            rows.append(_joined(row, dim=3))
        return self.reconstruct(_joined(rows, dim=2))

    def _decode_tile(
        self, latents: Tensor, rows: tuple[int, int], columns: tuple[int, int], reach: int
    ) -> Decoded:
        """Decoded cells of the latent `rows` and `columns` (first, last + 1)."""
        height, width = latents.shape[2:]
        top, bottom = max(rows[0] - reach, 0), min(rows[1] + reach, height)
        if self.config.ocean["periodic_x"] and columns[1] - columns[0] + 2 * reach < width:
            left = columns[0] - reach
            part = latents.roll(-left, dims=3)[..., : columns[1] + reach - left]
        elif self.config.ocean["periodic_x"]:
            left, part = 0, latents
        else:
            left = max(columns[0] - reach, 0)
            part = latents[..., left : min(columns[1] + reach, width)]
        decoded = self.vae.decode(part[:, :, top:bottom])
        y, x = ((first * self.vae.factor) for first in (rows[0] - top, columns[0] - left))
        shape = [(last - first) * self.vae.factor for first, last in (rows, columns)]
        fields, further = (made[:, :, y : y + shape[0], x : x + shape[1]] for made in decoded)
        return fields, further

    def reconstruct(self, decoded: Decoded, *, first: int = 0) -> State:
        """What the VAE's decoder put out, padded, as a state; the mixing comes last.

        `decoded` holds the padded rows from `first` on, or some of them.
        """
        fields, raw = (self.padding.crop(made.float(), first=first) for made in decoded)
        rows = self.padding.ocean_rows(first, first + decoded[0].shape[2])
        physical = self.statistics.to_physical(fields, rows=rows)
        levels = self.statistics.levels
        if not self.config.mixing:
            return State.from_channels(physical, levels=levels)
        tracers, rest = physical.split([2 * levels, physical.shape[1] - 2 * levels], dim=1)
        thickness = self.grid_thickness[:, rows].to(physical.dtype)
        pairs = wet_pairs(self.statistics.wet[:levels, rows])
        exchange = exchange_thickness(raw, thickness, pairs)
        mixed = mix(tracers.unflatten(1, (2, levels)), exchange, thickness)
        temperature, salinity = mixed.unbind(1)
        return State(temperature, salinity, rest[:, 0] if rest.shape[1] else None)

    @property
    def _makes_strips(self) -> bool:
        return self.config.network == "folded"

    @property
    def latent_weight(self) -> Tensor:
        return torch.ones(self.latent_shape, device=self.latent_mean.device)

    def _standardisation(self) -> tuple[Tensor, Tensor]:
        return self.latent_mean[:, None, None], self.latent_unit[:, None, None]


def _joined(parts: list[Decoded], *, dim: int) -> Decoded:
    """Pieces side by side along an axis, fields and further channels alike."""
    fields, further = (torch.cat(made, dim=dim) for made in zip(*parts, strict=True))
    return fields, further


def _spans(length: int, size: int) -> list[tuple[int, int]]:
    """`length` cells in stretches of at most `size`: (first, last + 1) of each."""
    return [(start, min(start + size, length)) for start in range(0, length, size)]
