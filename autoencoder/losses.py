"""Named terms of the autoencoder's loss. Each returns a scalar over a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def reconstruction_error(reconstruction: Tensor, target: Tensor, wet: Tensor) -> Tensor:
    """Mean squared error over wet cells, in units of the levels' standard deviations.

    reconstruction, target: normalised `b c y x`; wet: `c y x`, 1 in the ocean
    """
    squared = (reconstruction - target).square() * wet
    return squared.sum() / (len(target) * wet.sum())


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of the posterior `b l h w` from a standard normal, mean over latent numbers."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def stratification_error(
    steps: Tensor, true_steps: Tensor, wet_pairs: Tensor, *, neutral: float = 1e-3
) -> Tensor:
    """Two-sided error of the density steps between neighbouring levels, sharp where they are small.

    Steps [kg/m3] are compressed by `asinh(step / neutral)`, so that an error of one `neutral` in a
    mixed column weighs as much as a tenfold error in a stratified one. Both signs count: turning
    a neutral pair stable costs as much as turning it unstable, so mixed layers stay mixed.

    steps, true_steps: `b z-1 y x`, positive when stable; wet_pairs: `z-1 y x`
    """
    difference = torch.asinh(steps / neutral) - torch.asinh(true_steps / neutral)
    return (difference.abs() * wet_pairs).sum() / (len(steps) * wet_pairs.sum())
