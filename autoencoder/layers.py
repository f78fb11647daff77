"""Layers in which each output cell depends only on nearby cells.

No layer averages over the whole field, as group normalisation does. A decoder built from them has
a finite reach: a strip decoded with that much surrounding ocean equals the same rows of the whole.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import reduce, repeat
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from autoencoder.precision import single_or_better, summing


class NormalisedActivation(nn.Module):
    """SiLU of each cell's channels `c` divided by their root mean square (Zhang and Sennrich 2019).

    Input and output `b c h w`.
    """

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate `b c h w`."""
        return _NormalisedSiLU.apply(x, self.weight, self.eps)


class _NormalisedSiLU(torch.autograd.Function):
    """silu(w n) with n = x / sqrt(mean of x^2 over channels + eps); the backward pass recomputes n.

    Automatic differentiation would keep four fields instead of one; these fields dominate the
    memory of a guided step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = (single_or_better(x).square().mean(dim=1, keepdim=True) + eps).rsqrt().to(x)
        ctx.save_for_backward(x, weight, scale)
        return F.silu((x * scale).mul_(weight.to(x)[:, None, None]), inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        normalised, factor = x * scale, weight.to(x)[:, None, None]
        towards = torch.ops.aten.silu_backward(gradient.contiguous(), normalised * factor)
        to_weight = None
        if ctx.needs_input_grad[1]:
            to_weight = (towards * normalised).sum(dim=(0, 2, 3), dtype=summing(x)).to(weight)
        towards.mul_(factor)
        radial = (towards * normalised).mean(dim=1, keepdim=True, dtype=summing(x)).to(x)
        return towards.addcmul_(normalised, radial, value=-1).mul_(scale), to_weight, None


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, initially the identity; `b c h w` to the same.

    gradient_checkpointing: whether training recomputes the body, too; set by diffusers'
        `enable_gradient_checkpointing`
    """

    gradient_checkpointing = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            NormalisedActivation(width),
            nn.Conv2d(width, width, 3, padding=1),
            NormalisedActivation(width),
            zero(nn.Conv2d(width, width, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x + body(x)` for `b c h w`."""
        kept = self.training and not self.gradient_checkpointing
        if kept or not torch.is_grad_enabled():
            return x + self.body(x)
        # Guidance differentiates the trained network: recomputing the body saves memory.
        return x + checkpoint(self.body, x, use_reentrant=False)


class Fold(nn.Module):
    """Halves rows and columns: folds 2 x 2 cells into channels and maps them to `width_out`.

    Where the widths allow, group means of the folded channels are the shortcut of the learnt map
    (DC-AE, Chen et al. 2024, section 3.2).
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(4 * width_in, width_out, 1)
        self.shortcut = 4 * width_in % width_out == 0

    def forward(self, x: Tensor) -> Tensor:
        """`b c h w` to `b d h/2 w/2`."""
        folded = F.pixel_unshuffle(x, 2)
        y = self.convolution(folded)
        if self.shortcut:
            y = y + reduce(folded, "b (c g) h w -> b c h w", "mean", c=y.shape[1])
        return y


class Unfold(nn.Module):
    """Doubles rows and columns: the inverse of `Fold`, with repeated channels as shortcut."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width_in, 4 * width_out, 1)
        self.repeats = 4 * width_out // width_in
        self.shortcut = 4 * width_out % width_in == 0

    def forward(self, x: Tensor) -> Tensor:
        """`b c h w` to `b d 2h 2w`."""
        y = self.convolution(x)
        if self.shortcut:
            y = y + repeat(x, "b c h w -> b (c g) h w", g=self.repeats)
        return F.pixel_shuffle(y, 2)


def residuals(width: int, count: int) -> nn.Sequential:
    """`count` residual blocks."""
    return nn.Sequential(*(Residual(width) for _ in range(count)))


def fold_stages(channels: tuple[int, ...], blocks: int) -> nn.Sequential:
    """Residual blocks at the first width, then a fold and blocks for each following width."""
    stages: list[nn.Module] = [residuals(channels[0], blocks)]
    for before, width in pairwise(channels):
        stages += [Fold(before, width), residuals(width, blocks)]
    return nn.Sequential(*stages)


def unfold_stages(channels: tuple[int, ...], blocks: int) -> nn.Sequential:
    """`fold_stages` in reverse order, from the last width to the first."""
    widths = tuple(reversed(channels))
    stages: list[nn.Module] = [residuals(widths[0], blocks)]
    for before, width in pairwise(widths):
        stages += [Unfold(before, width), residuals(width, blocks)]
    return nn.Sequential(*stages)


def head(width: int, outputs: int, *, kernel: int) -> nn.Sequential:
    """Normalisation, activation and an output convolution with `kernel` x `kernel` cells."""
    last = nn.Conv2d(width, outputs, kernel, padding=kernel // 2)
    return nn.Sequential(NormalisedActivation(width), last)


def zero(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution with all parameters set to 0."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution
