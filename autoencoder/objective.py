"""The autoencoder and its loss in one module, so that distributed training wraps both.

To add a loss term, write a function of a `Comparison`, register it in `TERMS`, and give
`autoencoder.settings.LossSettings` a weight of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from autoencoder import losses
from autoencoder.boxes import SMALLEST_SIDE, Box, boxes_at_depths
from autoencoder.codec import VolumeCodec
from autoencoder.volume_vae import Decoded
from data.errors import UserError
from data.state import State
from guidance.seawater import EquationOfState, freezing_temperature
from guidance.stratification import density_steps, wet_pairs

# With latent jitter, each of these terms has a second version, `jittered_NAME`.
JITTERED = ("stratification", "created_instability")

# Land-free boxes, each with the channels of a state whose spectra are compared there.
SpectralBoxes = Sequence[tuple[Box, list[int]]]


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

    decoded: the network's output, padded; mean, log_variance: of the latents, `b l h w`
    jitter: noise on `mean` for a second decode, in units of its spread, `b l h w`
    share: how far from each state's latents to the next state's a third decode lies, `b 1 1 1`
    boxes: the boxes in which spectra are compared
    """

    codec: VolumeCodec
    stratification: Stratification
    truth: State
    decoded: Decoded
    mean: Tensor
    log_variance: Tensor
    jitter: Tensor | None = None
    share: Tensor | None = None
    boxes: SpectralBoxes = ()

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
        spread = self.mean.detach().std(dim=(0, 2, 3), correction=0)[:, None, None]
        return self._steps_of(self.mean + spread * self.jitter)

    @cached_property
    def steps_between(self) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3] of states decoded between the states' latents."""
        if self.share is None:
            raise ValueError("this comparison has no share of the next state")
        return self._steps_of(torch.lerp(self.mean, self.mean.roll(1, dims=0), self.share))

    def _steps_of(self, latents: Tensor) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3] of the states decoded from latents `b l h w`."""
        return self.stratification.steps(self.codec.reconstruct(self.codec.vae.decode(latents)))


Term = Callable[[Comparison], Tensor]


def _reconstruction(c: Comparison) -> Tensor:
    return losses.reconstruction_error(c.normalised, c.true_normalised, c.wet)


def _kl(c: Comparison) -> Tensor:
    return losses.kl_divergence(c.mean, c.log_variance)


def _stratification(c: Comparison) -> Tensor:
    return losses.stratification_error(c.steps, c.true_steps, c.wet_pairs)


def _created_instability(c: Comparison) -> Tensor:
    return losses.created_instability(c.steps, c.true_steps, c.wet_pairs)


def _jittered_stratification(c: Comparison) -> Tensor:
    return losses.stratification_error(c.jittered_steps, c.true_steps, c.wet_pairs)


def _jittered_created_instability(c: Comparison) -> Tensor:
    return losses.created_instability(c.jittered_steps, c.true_steps, c.wet_pairs)


def _between_states(c: Comparison) -> Tensor:
    neighbours = c.true_steps, c.true_steps.roll(1, dims=0)
    return losses.error_outside_range(c.steps_between, *neighbours, c.wet_pairs)


def _censored(c: Comparison) -> Tensor:
    """Temperature is bounded by the freezing point at the true salinity, salinity by 0."""
    truth, depth = c.truth, c.codec.grid_depth.to(c.truth.temperature)[:, None, None]
    freezing = freezing_temperature(truth.salinity, depth)
    bounds = State(freezing, torch.zeros_like(freezing), truth.sea_level)
    reconstruction, target, bound = (
        x[:, : 2 * truth.levels]
        for x in (c.normalised, c.true_normalised, c.codec.statistics.normalise(bounds))
    )
    return losses.censored_error(reconstruction, target, bound, c.wet[: 2 * truth.levels])


def _spectral(c: Comparison) -> Tensor:
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


class AutoencoderObjective(nn.Module):
    """The loss of a batch of states, by term and in total.

    codec: the codec to train; its statistics normalise the states
    eos: the data's equation of state, for the density steps
    losses: weight of each term of `TERMS`, relative to the reconstruction error; 0 disables it
    latent_jitter: standard deviation of noise on the latents, relative to each channel's spread in
        the batch; the density-step terms are also computed from the noisy latents; 0 disables it

    Raises UserError if the codec's grid does not support a term.
    """

    _interface_depth: Tensor
    _wet_pairs: Tensor

    def __init__(
        self,
        codec: VolumeCodec,
        *,
        eos: EquationOfState,
        losses: Mapping[str, float],
        latent_jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self.codec = codec
        self._eos = eos
        self._latent_jitter = latent_jitter
        self.register_buffer("_interface_depth", torch.from_numpy(codec.grid.interface_depth))
        self.register_buffer("_wet_pairs", wet_pairs(codec.grid_wet > 0))
        self._weights = {"reconstruction": 1.0} | _active(losses, jitter=latent_jitter > 0)
        self._boxes = _spectral_boxes(codec) if "spectral" in self._weights else ()

    def forward(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of `batch` `b c y x` (physical units); `generator` draws the latent noise."""
        losses = self.terms(self.compare(batch, generator))
        weighted = [weight * losses[name] for name, weight in self._weights.items()]
        return losses | {"loss": torch.stack(weighted).sum()}

    def terms(self, comparison: Comparison) -> dict[str, Tensor]:
        """The value of each term with a weight."""
        return {name: TERMS[name](comparison) for name in self._weights}

    def compare(self, batch: Tensor, generator: torch.Generator) -> Comparison:
        """Compare the states of `batch` `b c y x` (physical units) with their reconstruction."""
        codec = self.codec
        state = State.from_channels(batch, levels=codec.statistics.levels)
        shape = (len(batch), *codec.latent_shape)
        noise = torch.randn(shape, generator=generator).to(batch.device)
        jitter = None
        if self._latent_jitter:
            jitter = self._latent_jitter * torch.randn(shape, generator=generator)
            jitter = jitter.to(batch.device)
        decoded, mean, log_variance = codec.vae(codec.network_input(state), noise)
        share = None
        if "between_states" in self._weights:
            share = torch.rand(len(batch), 1, 1, 1, generator=generator).to(batch.device)
        steps = Stratification(self._eos, self._interface_depth, self._wet_pairs)
        return Comparison(
            codec,
            steps,
            state,
            decoded,
            mean,
            log_variance,
            jitter=jitter,
            share=share,
            boxes=self._boxes,
        )


def _active(losses: Mapping[str, float], *, jitter: bool) -> dict[str, float]:
    """The terms with a non-zero weight, and their weights."""
    active = {name: weight for name, weight in losses.items() if weight}
    if jitter:
        active |= {f"jittered_{name}": active[name] for name in JITTERED if name in active}
    return active


def _spectral_boxes(codec: VolumeCodec) -> SpectralBoxes:
    """The largest land-free box at a few levels, with its channels; sea level at the surface."""
    grid = codec.grid
    levels, channels = grid.shape[0], codec.statistics.channels
    boxes = [
        (box, [level, levels + level] + [2 * levels] * (level == 0 and channels > 2 * levels))
        for level, box in boxes_at_depths(grid).items()
    ]
    if not boxes:
        side = f"{SMALLEST_SIDE} x {SMALLEST_SIDE}"
        raise UserError(
            f"the spectral loss needs a rectangle of {side} cells without land, but this grid "
            f"of {grid.shape[1]} x {grid.shape[2]} cells has none; set "
            "autoencoder.losses.spectral to 0"
        )
    return boxes
