"""Layers whose every output cell depends on near cells only.

No layer here takes a mean over the whole field, as group normalisation does. So a decoder made of
them has a finite reach, and a piece of the ocean decoded on its own, with that much around it, is
the same as in the whole.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from einops import reduce, repeat
from torch import Tensor, nn


class CellNorm(nn.Module):
    """Divides the channels `c` of each cell by their root mean square (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the identity at start. `b c h w` to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            CellNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            CellNorm(width),
            nn.SiLU(),
            zero(nn.Conv2d(width, width, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Fold(nn.Module):
    """Halves rows and columns: 2 x 2 cells become channels, then `width_out` of them.

    With `shortcut` the result is learnt as a change of group means of the folded channels (DC-AE,
    Chen et al. 2024, section 3.2).
    """

    def __init__(self, width_in: int, width_out: int, *, shortcut: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(4 * width_in, width_out, 1)
        self.shortcut = shortcut and 4 * width_in % width_out == 0

    def forward(self, x: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(x, 2)
        y = self.convolution(folded)
        if self.shortcut:
            y = y + reduce(folded, "b (c g) h w -> b c h w", "mean", c=y.shape[1])
        return y


class Unfold(nn.Module):
    """Doubles rows and columns: the mirror of `Fold`, with repeated channels as the shortcut."""

    def __init__(self, width_in: int, width_out: int, *, shortcut: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width_in, 4 * width_out, 1)
        self.repeats = 4 * width_out // width_in
        self.shortcut = shortcut and 4 * width_out % width_in == 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        if self.shortcut:
            y = y + repeat(x, "b c h w -> b (c g) h w", g=self.repeats)
        return F.pixel_shuffle(y, 2)


class SaturatedLatents(nn.Module):
    """Bounds latents softly, `z / sqrt(1 + (z / bound)^2)` (LoLA, Rozet et al. 2025)."""

    def __init__(self, bound: float = 5.0) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, latents: Tensor) -> Tensor:
        return latents / (1 + (latents / self.bound).square()).sqrt()


def residuals(width: int, count: int) -> nn.Sequential:
    """`count` residual blocks."""
    return nn.Sequential(*(Residual(width) for _ in range(count)))


def fold_stages(channels: tuple[int, ...], blocks: int, *, shortcuts: bool) -> nn.Sequential:
    """Residual blocks at the first width, then a fold and blocks for each further one."""
    stages: list[nn.Module] = [residuals(channels[0], blocks)]
    for before, width in pairwise(channels):
        stages += [Fold(before, width, shortcut=shortcuts), residuals(width, blocks)]
    return nn.Sequential(*stages)


def unfold_stages(channels: tuple[int, ...], blocks: int, *, shortcuts: bool) -> nn.Sequential:
    """The mirror of `fold_stages`, from the last width to the first."""
    widths = tuple(reversed(channels))
    stages: list[nn.Module] = [residuals(widths[0], blocks)]
    for before, width in pairwise(widths):
        stages += [Unfold(before, width, shortcut=shortcuts), residuals(width, blocks)]
    return nn.Sequential(*stages)


def head(width: int, outputs: int) -> nn.Sequential:
    """Normalisation, activation and the last convolution."""
    return nn.Sequential(CellNorm(width), nn.SiLU(), nn.Conv2d(width, outputs, 3, padding=1))


def zero(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution, with all its parameters 0."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution
