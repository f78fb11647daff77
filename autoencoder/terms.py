"""The terms of the autoencoder's objective by name, and the comparison that they judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from autoencoder import losses
from autoencoder.boxes import SMALLEST_SIDE, boxes_at_depths
from autoencoder.codec import VolumeCodec
from autoencoder.volume_vae import Decoded
from data.errors import UserError
from data.grid import OceanGrid
from data.state import State
from guidance.seawater import EquationOfState, freezing_temperature
from guidance.stratification import density_steps


@dataclass(frozen=True)
class Ocean:
    """What the comparisons of a training have in common.

    interface_depth: `z-1` [m]; wet_pairs: `z-1 y x`, True between two wet cells
    """

    grid: OceanGrid
    eos: EquationOfState
    interface_depth: Tensor
    wet_pairs: Tensor

    def steps(self, state: State) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3].

        State by state, which keeps an equation's many intermediate fields in the cache. Gradients
        leave out how expansion coefficients change, by a part of what a step itself is of them.
        """
        depth = self.interface_depth
        parts = [
            density_steps(part, eos=self.eos, interface_depth=depth, constant_slopes=True)
            for part in state.split(1)
        ]
        return torch.cat(parts)


@dataclass(frozen=True)
class Comparison:
    """True states and what the codec made of them; what terms share is computed once, if at all.

    decoded: the network's output, padded; mean, log_variance: of the latents, `b l h w`
    jitter: what is added to `mean` for another decode, in units of its spread `b l h w`
    """

    codec: VolumeCodec
    ocean: Ocean
    truth: State
    decoded: Decoded
    mean: Tensor
    log_variance: Tensor
    jitter: Tensor | None = None

    @property
    def wet(self) -> Tensor:
        """Wet cells `c y x`."""
        return self.codec.statistics.wet

    @cached_property
    def reconstruction(self) -> State:
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
        return self.ocean.steps(self.reconstruction)

    @cached_property
    def true_steps(self) -> Tensor:
        """The truth's density steps `b z-1 y x` [kg/m3]."""
        return self.ocean.steps(self.truth)

    @cached_property
    def jittered_steps(self) -> Tensor:
        """Density steps `b z-1 y x` [kg/m3] of what perturbed latents decode to."""
        if self.jitter is None:
            raise ValueError("no jitter was drawn for this comparison")
        spread = self.mean.detach().std(dim=(0, 2, 3), correction=0)[:, None, None]
        latents = self.mean + spread * self.jitter
        return self.ocean.steps(self.codec.reconstruct(self.codec.vae.decode(latents)))


Term = Callable[[Comparison], Tensor]


def _reconstruction(c: Comparison) -> Tensor:
    return losses.reconstruction_error(c.normalised, c.true_normalised, c.wet)


def _kl(c: Comparison) -> Tensor:
    return losses.kl_divergence(c.mean, c.log_variance)


def _stratification(c: Comparison) -> Tensor:
    return losses.stratification_error(c.steps, c.true_steps, c.ocean.wet_pairs)


def _created_instability(c: Comparison) -> Tensor:
    return losses.created_instability(c.steps, c.true_steps, c.ocean.wet_pairs)


def _jittered_stratification(c: Comparison) -> Tensor:
    return losses.stratification_error(c.jittered_steps, c.true_steps, c.ocean.wet_pairs)


def _jittered_created_instability(c: Comparison) -> Tensor:
    return losses.created_instability(c.jittered_steps, c.true_steps, c.ocean.wet_pairs)


def _censored(c: Comparison) -> Tensor:
    """Temperature is no lower than the freezing point of the truth's salinity, salinity than 0."""
    truth, depth = c.truth, c.codec.grid_depth.to(c.truth.temperature)[:, None, None]
    freezing = freezing_temperature(truth.salinity, depth)
    bounds = State(freezing, torch.zeros_like(freezing), truth.sea_level)
    reconstruction, target, bound = (
        x[:, : 2 * truth.levels]
        for x in (c.normalised, c.true_normalised, c.codec.statistics.normalise(bounds))
    )
    return losses.censored_error(reconstruction, target, bound, c.wet[: 2 * truth.levels])


class _Spectral:
    """The spectral error on the largest box of ocean at a few levels, sea level as the surface."""

    def __init__(self, codec: VolumeCodec) -> None:
        grid = codec.grid
        levels, channels = grid.shape[0], codec.statistics.channels
        self._boxes = [
            (box, [level, levels + level] + [2 * levels] * (level == 0 and channels > 2 * levels))
            for level, box in boxes_at_depths(grid).items()
        ]
        if not self._boxes:
            side = f"{SMALLEST_SIDE} x {SMALLEST_SIDE}"
            raise UserError(
                f"the spectral loss needs a rectangle of {side} cells without land, and this grid "
                f"of {grid.shape[1]} x {grid.shape[2]} cells has none; set "
                "autoencoder.losses.spectral to 0"
            )

    def __call__(self, c: Comparison) -> Tensor:
        energies, true_energies = (
            torch.cat(
                [
                    losses.band_energies(box.cut(field[:, channels]))
                    for box, channels in self._boxes
                ],
                dim=1,
            )
            for field in (c.normalised, c.true_normalised)
        )
        return losses.spectral_error(energies, true_energies)


Builder = Callable[[VolumeCodec], Term]


def _ready(term: Term) -> Builder:
    """For a term that needs nothing of its own."""
    return lambda codec: term


TERMS: dict[str, Builder] = {
    "reconstruction": _ready(_reconstruction),
    "kl": _ready(_kl),
    "stratification": _ready(_stratification),
    "created_instability": _ready(_created_instability),
    "spectral": _Spectral,
    "censored": _ready(_censored),
    "jittered_stratification": _ready(_jittered_stratification),
    "jittered_created_instability": _ready(_jittered_created_instability),
}
