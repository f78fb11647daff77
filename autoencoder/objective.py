"""The autoencoder and its loss in one module, so that distributed training wraps both.

To add a loss term, write a function of a `Comparison`, register it in `TERMS`, and give
`autoencoder.settings.LossSettings` a weight of the same name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autoencoder import losses
from autoencoder.boxes import SMALLEST_SIDE, boxes_at_depths
from autoencoder.codec import VolumeCodec
from autoencoder.pieces import EVERYWHERE, OF_THE_FIELD, Counted, Inner, Piece, SpectralBoxes
from autoencoder.volume_vae import Decoded
from data.errors import UserError
from data.state import State
from guidance.seawater import EquationOfState, freezing_temperature
from guidance.stratification import density_steps, wet_pairs

# With latent jitter, each of these terms has a second version, `jittered_NAME`.
JITTERED = ("stratification", "created_instability")


@dataclass(frozen=True)
class Stratification:
    """Computes density steps with a fixed equation of state and grid.

    interface_depth: `z-1` [m]; wet_pairs: `z-1 y x`, True between two wet cells
    """

    eos: EquationOfState
    interface_depth: Tensor
    wet_pairs: Tensor

    def steps(self, state: State) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3].

        One state at a time, to keep the intermediate fields in cache. The gradient takes the
        expansion coefficients as constants.
        """
        depth = self.interface_depth
        parts = [
            density_steps(part, eos=self.eos, interface_depth=depth, constant_slopes=True)
            for part in state.split(1)
        ]
        return torch.cat(parts)


@dataclass(frozen=True)
class Comparison:
    """True states and their reconstruction; quantities shared by terms are computed on demand.

    codec: or its part in a window; the truth, its reconstruction and masks are of the window
    decoded: the network's output, padded; mean, log_variance: of the latents, `b l h w`; all with
        the halo of a window
    jitter: noise on `mean` for a second decode, in units of its spread, `b l h w`
    share: how far a third decode lies between the latents of two states, `p 1 1 1` for the pairs
        `p` of `halves`
    boxes: the boxes in which spectra are compared
    inner: the latents of the window; counted: what the sums over the window are divided by
    """

    codec: VolumeCodec | Piece
    stratification: Stratification
    truth: State
    decoded: Decoded
    mean: Tensor
    log_variance: Tensor
    jitter: Tensor | None = None
    share: Tensor | None = None
    boxes: SpectralBoxes = ()
    inner: Inner = EVERYWHERE
    counted: Counted = OF_THE_FIELD

    @property
    def wet(self) -> Tensor:
        """Wet cells `c y x`."""
        return self.codec.statistics.wet

    @property
    def wet_pairs(self) -> Tensor:
        """Interfaces between two wet cells, `z-1 y x`."""
        return self.stratification.wet_pairs

    @cached_property
    def reconstruction(self) -> State:
        """The decoded states, in physical units."""
        return self.codec.reconstruct(self.decoded)

    @cached_property
    def normalised(self) -> Tensor:
        """The normalised reconstruction `b c y x`."""
        return self.codec.statistics.normalise(self.reconstruction)

    @cached_property
    def true_normalised(self) -> Tensor:
        """The normalised truth `b c y x`."""
        return self.codec.statistics.normalise(self.truth)

    @cached_property
    def steps(self) -> Tensor:
        """The reconstruction's density steps `b z-1 y x` [kg/m3]."""
        return self.stratification.steps(self.reconstruction)

    @cached_property
    def true_steps(self) -> Tensor:
        """The truth's density steps `b z-1 y x` [kg/m3]."""
        return self.stratification.steps(self.truth)

    @cached_property
    def jittered_steps(self) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3] of the states decoded from jittered latents."""
        if self.jitter is None:
            raise ValueError("this comparison has no latent jitter")
        own = self.inner.cut(self.mean.detach())
        spread = own.std(dim=(0, 2, 3), correction=0)[:, None, None]
        return self._steps_of(self.mean + spread * self.jitter)

    @cached_property
    def steps_between(self) -> Tensor:
        """Density steps `p z-1 y x` [kg/m3] of states decoded between the latents of pairs."""
        if self.share is None:
            raise ValueError("this comparison has no share between two states")
        return self._steps_of(torch.lerp(*halves(self.mean), self.share))

    def _steps_of(self, latents: Tensor) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3] of the states decoded from latents `b l h w`."""
        return self.stratification.steps(self.codec.reconstruct(self.codec.vae.decode(latents)))


class Draws(NamedTuple):
    """Random numbers of a comparison: noise on the latents, `jitter` and `share`."""

    noise: Tensor
    jitter: Tensor | None
    share: Tensor | None


Term = Callable[[Comparison], Tensor]


def _reconstruction(c: Comparison) -> Tensor:
    return losses.reconstruction_error(
        c.normalised, c.true_normalised, c.wet, count=c.counted.cells
    )


def _kl(c: Comparison) -> Tensor:
    return losses.kl_divergence(c.inner.cut(c.mean), c.inner.cut(c.log_variance))


def _stratification(c: Comparison) -> Tensor:
    return losses.stratification_error(c.steps, c.true_steps, c.wet_pairs, count=c.counted.pairs)


def _created_instability(c: Comparison) -> Tensor:
    return losses.created_instability(c.steps, c.true_steps, c.wet_pairs, count=c.counted.pairs)


def _jittered_stratification(c: Comparison) -> Tensor:
    return losses.stratification_error(
        c.jittered_steps, c.true_steps, c.wet_pairs, count=c.counted.pairs
    )


def _jittered_created_instability(c: Comparison) -> Tensor:
    return losses.created_instability(
        c.jittered_steps, c.true_steps, c.wet_pairs, count=c.counted.pairs
    )


def _between_states(c: Comparison) -> Tensor:
    return losses.error_outside_range(
        c.steps_between, *halves(c.true_steps), c.wet_pairs, count=c.counted.pairs
    )


def _censored(c: Comparison) -> Tensor:
    """Temperature is bounded by the freezing point at the true salinity, salinity by 0."""
    truth, depth = c.truth, c.codec.grid_depth.to(c.truth.temperature)[:, None, None]
    freezing = freezing_temperature(truth.salinity, depth)
    bounds = State(freezing, torch.zeros_like(freezing), truth.sea_level)
    reconstruction, target, bound = (
        x[:, : 2 * truth.levels]
        for x in (c.normalised, c.true_normalised, c.codec.statistics.normalise(bounds))
    )
    wet = c.wet[: 2 * truth.levels]
    return losses.censored_error(reconstruction, target, bound, wet, count=c.counted.tracers)


def _spectral(c: Comparison) -> Tensor:
    if not c.boxes:  # in a window full of islands
        return c.mean.new_zeros(())
    energies, true_energies = (
        torch.cat(
            [losses.band_energies(box.cut(field[:, channels])) for box, channels in c.boxes], dim=1
        )
        for field in (c.normalised, c.true_normalised)
    )
    return losses.spectral_error(energies, true_energies)


TERMS: dict[str, Term] = {
    "reconstruction": _reconstruction,
    "kl": _kl,
    "stratification": _stratification,
    "created_instability": _created_instability,
    "spectral": _spectral,
    "censored": _censored,
    "between_states": _between_states,
    "jittered_stratification": _jittered_stratification,
    "jittered_created_instability": _jittered_created_instability,
}


class Objective(nn.Module, ABC):
    """The loss of a batch, by term and in total; its networks are submodules.

    codec: the codec to train
    eos: the data's equation of state, for the density steps
    losses: weight of each term of `TERMS`, relative to the reconstruction error; 0 disables it
    latent_jitter: standard deviation of noise on the latents, relative to each channel's spread in
        the batch; the density-step terms are also computed from the noisy latents; 0 disables it
    """

    _interface_depth: Tensor

    def __init__(
        self,
        codec: VolumeCodec,
        *,
        eos: EquationOfState,
        losses: Mapping[str, float],
        latent_jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self._eos = eos
        self._latent_jitter = latent_jitter
        depth = torch.from_numpy(codec.grid.interface_depth)  # z-1, m
        self.register_buffer("_interface_depth", depth)
        self._weights = active_weights(losses, jitter=latent_jitter > 0)
        self._adopt(codec)

    @abstractmethod
    def _adopt(self, codec: VolumeCodec) -> None:
        """Keep what the loss needs of the codec; what is trained becomes a submodule."""

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of a batch; `generator` draws the latent noise."""
        losses = self.terms(self.compare(batch, generator))
        weighted = [weight * losses[name] for name, weight in self._weights.items()]
        return losses | {"loss": torch.stack(weighted).sum()}

    def terms(self, comparison: Comparison) -> dict[str, Tensor]:
        """The value of each term with a weight."""
        return {name: TERMS[name](comparison) for name in self._weights}

    @abstractmethod
    def compare(self, batch: Any, generator: torch.Generator) -> Comparison:
        """Compare the states of a batch with their reconstruction."""

    def draw(
        self, shape: tuple[int, ...], generator: torch.Generator, *, device: torch.device
    ) -> Draws:
        """The random numbers for latents of this shape `b l h w`."""
        noise = torch.randn(shape, generator=generator).to(device)
        jitter = share = None
        if self._latent_jitter:
            jitter = self._latent_jitter * torch.randn(shape, generator=generator)
            jitter = jitter.to(device)
        if "between_states" in self._weights:
            share = torch.rand((shape[0] + 1) // 2, 1, 1, 1, generator=generator).to(device)
        return Draws(noise, jitter, share)

    def _stratification(self, pairs: Tensor) -> Stratification:
        return Stratification(self._eos, self._interface_depth, pairs)


class AutoencoderObjective(Objective):
    """The loss of a batch of whole states `b c y x` (physical units).

    The codec's statistics normalise the states. Arguments are those of `Objective`.

    Raises UserError if the codec's grid does not support a term.
    """

    _wet_pairs: Tensor

    def _adopt(self, codec: VolumeCodec) -> None:
        self.codec = codec
        self.register_buffer("_wet_pairs", wet_pairs(codec.grid_wet > 0))
        self._boxes = _spectral_boxes(codec) if "spectral" in self._weights else ()

    def compare(self, batch: Tensor, generator: torch.Generator) -> Comparison:
        """Compare the states of `batch` `b c y x` (physical units) with their reconstruction."""
        codec = self.codec
        state = State.from_channels(batch, levels=codec.statistics.levels)
        draws = self.draw((len(batch), *codec.latent_shape), generator, device=batch.device)
        decoded, mean, log_variance = codec.vae(codec.network_input(state), draws.noise)
        return Comparison(
            codec,
            self._stratification(self._wet_pairs),
            state,
            decoded,
            mean,
            log_variance,
            jitter=draws.jitter,
            share=draws.share,
            boxes=self._boxes,
        )


def halves(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of states: the first and the last half `p ...` of a batch `b ...`.

    Each state is in one pair; the middle one of an odd number in two.
    """
    pairs = (len(batch) + 1) // 2
    return batch[:pairs], batch[-pairs:]


def active_weights(losses: Mapping[str, float], *, jitter: bool) -> dict[str, float]:
    """The terms with a non-zero weight, and their weights relative to the reconstruction error."""
    active = {name: weight for name, weight in losses.items() if weight}
    if jitter:
        active |= {f"jittered_{name}": active[name] for name in JITTERED if name in active}
    return {"reconstruction": 1.0} | active


def _spectral_boxes(codec: VolumeCodec) -> SpectralBoxes:
    """The largest land-free box at a few levels, with its channels; sea level at the surface."""
    grid = codec.grid
    boxes = [
        (box, codec.statistics.channels_at(level)) for level, box in boxes_at_depths(grid).items()
    ]
    if not boxes:
        side = f"{SMALLEST_SIDE} x {SMALLEST_SIDE}"
        raise UserError(
            f"the spectral loss needs a rectangle of {side} cells without land, but this grid "
            f"of {grid.shape[1]} x {grid.shape[2]} cells has none; set "
            "autoencoder.losses.spectral to 0"
        )
    return boxes
