"""Chains that begin at the noisy latents of given states, and how much noise these need.

Noise hides small scales first. Where the spectra of noisy latents of foreign states and of the
training states agree, a denoiser cannot tell them apart, and its chain ends among the training
states while the larger scales stay (SDEdit: Meng et al. 2022; for fields of two models: Bischoff &
Deck 2024, "Unpaired downscaling of fluid flows with diffusion bridges").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from diffusers import SchedulerMixin
from torch import Tensor

from data.errors import UserError
from latent_diffusion.denoiser import noise_level
from latent_diffusion.drawn import Frame
from latent_diffusion.schedulers import begin_at, unit_at

TOLERANCE = 0.1  # of the ratio of two powers that agree
LEAST_NOISE = 0.05
MOST_NOISE = 0.995  # a chain from more is one from noise alone


@dataclass(frozen=True)
class Start:
    """Where chains begin: latents of given states, with noise.

    latents: `b c h w`, standardised, one for each state that is drawn, or one for all
    noise: amplitude of the noise, above 0 and at most 1; that of the signal follows. The chain
        begins at its own level that has at least as much, or at its last
    """

    latents: Tensor
    noise: float

    def __post_init__(self) -> None:
        check_noise(self.noise)

    def step(self, scheduler: SchedulerMixin) -> int:
        """The last step of a chain whose noise is at least this; the chain begins there."""
        count, order = len(scheduler.timesteps), getattr(scheduler, "order", 1)
        step = 0
        for following in range(0, count, order):
            if noise_level(scheduler, following).noise < self.noise:
                break
            step = following
        begin_at(scheduler, step)
        return step

    def sample(
        self, scheduler: SchedulerMixin, noise: Tensor, *, step: int, frame: Frame | None
    ) -> Tensor:
        """The scheduler's sample `b c h w` before a step: the latents with white `noise`.

        frame: of a conditional model, whose samples are residuals
        """
        level = noise_level(scheduler, step)
        latents = self.latents.to(noise)
        clean = frame.residual(latents) if frame else latents
        return (level.signal * clean + level.noise * noise) / unit_at(scheduler, step)


def check_noise(noise: float) -> None:
    """Raise `UserError` for an amplitude that no chain begins with."""
    if not 0 < noise <= 1:
        raise UserError(
            f"chains cannot begin with a noise of {noise:g}: give more than 0 and at most 1"
        )


class Scale(NamedTuple):
    """Power of one group of latents at one scale.

    channels: first and last + 1; cells: side of the scale in latent cells
    source, target: mean squares; noise: the least noise with which they agree within `tolerance`
    """

    channels: tuple[int, int]
    cells: int
    source: float
    target: float
    noise: float
    tolerance: float

    def ratio(self, noise: float) -> float:
        """Power of the source over that of the target, both with noise."""
        signal = 1 - noise**2
        return (signal * self.source + noise**2) / (signal * self.target + noise**2)


def compared_scales(source: Tensor, target: Tensor, *, states: int) -> list[Scale]:
    """Powers of latents `b c h w` of a source and of a target, which have variance 1.

    states: number of different states in the source; the others repeat them

    In groups of channels 1, 2, 3 to 4, 5 to 8, ... (they are ordered by their effect on the state),
    and at scales of 1, 2, 4, ... latent cells: mean squares of the differences between means over
    blocks of this side and of twice this side (as of Haar wavelets). The mean over all cells, which
    is the climate of a state, is not compared.
    """
    found = []
    for channels in _groups(source.shape[1]):
        own, theirs = (_powers(x[:, slice(*channels)]) for x in (source, target))
        for cells, (here, count) in own.items():
            there, others = theirs[cells]
            independent = count * states / len(source)
            tolerance = TOLERANCE + 2 * math.sqrt(2 / independent + 2 / others)
            noise = _least_noise(here, there, tolerance=tolerance)
            found.append(Scale(channels, cells, here, there, noise, tolerance))
    return found


def least_noise(scales: list[Scale]) -> float:
    """The least noise with which the source agrees with the target at all scales.

    At least a little: chains begin with some noise, also from states of the target itself.
    """
    largest = max((scale.noise for scale in scales), default=0.0)
    return min(max(largest, LEAST_NOISE), MOST_NOISE)


def _least_noise(source: float, target: float, *, tolerance: float) -> float:
    """Noise s with (a² source + s²) / (a² target + s²) within the tolerance of 1, a² = 1 - s².

    Powers of few values scatter: the tolerance grows with their standard error.
    """
    relative = max(abs(source - target) / tolerance - target, 0.0)  # s² / a²
    return math.sqrt(relative / (1 + relative))


def _groups(channels: int) -> list[tuple[int, int]]:
    ends = [0, *(2**power for power in range(channels.bit_length()) if 2**power < channels)]
    return list(pairwise([*ends, channels]))


def _powers(latents: Tensor) -> dict[int, tuple[float, int]]:
    """Mean square, and number of values, of what each scale adds, by its side in cells."""
    found, cells = {}, 1
    here = latents.double()
    while min(here.shape[-2:]) > 1:
        coarse = F.avg_pool2d(here, 2, ceil_mode=True, count_include_pad=False)
        rows, columns = here.shape[-2:]
        again = coarse.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :rows, :columns]
        detail = here - again
        found[cells] = (float(detail.square().mean()), detail.numel())
        here, cells = coarse, 2 * cells
    return found


def as_rows(scales: list[Scale]) -> list[dict[str, float | str]]:
    """The scales for a table or JSON."""
    return [
        {
            "channels": f"{scale.channels[0] + 1} to {scale.channels[1]}",
            "cells": scale.cells,
            "source": scale.source,
            "target": scale.target,
            "noise": scale.noise,
            "tolerance": scale.tolerance,
        }
        for scale in scales
    ]


def as_text(scales: list[Scale], noise: float) -> str:
    """The scales as a table for the terminal, and the noise that chains begin with."""
    lines = [f"{'latents':>10} {'cells':>6} {'source':>8} {'target':>8} {'noise':>6}"]
    for scale in scales:
        first, last = scale.channels
        channels = f"{first + 1} to {last}" if last > first + 1 else f"{last}"
        powers = f"{scale.source:8.3g} {scale.target:8.3g} {scale.noise:6.2f}"
        lines.append(f"{channels:>10} {scale.cells:>6} {powers}")
    return "\n".join([*lines, f"chains begin with a noise of {noise:.2f}"])
