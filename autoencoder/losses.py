"""Named terms of the autoencoder's loss. Each returns a scalar over a batch."""

from __future__ import annotations

import torch
from torch import Tensor

NEUTRAL = 1e-3  # kg/m3: density steps below it count as those of a mixed layer


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
    steps: Tensor, true_steps: Tensor, wet_pairs: Tensor, *, neutral: float = NEUTRAL
) -> Tensor:
    """Two-sided error of the density steps between neighbouring levels, sharp where they are small.

    Steps [kg/m3] are compressed by `asinh(step / neutral)`, so that an error of one `neutral` in a
    mixed column weighs as much as a tenfold error in a stratified one. Both signs count: turning
    a neutral pair stable costs as much as turning it unstable, so mixed layers stay mixed.

    steps, true_steps: `b z-1 y x`, positive when stable; wet_pairs: `z-1 y x`
    """
    difference = torch.asinh(steps / neutral) - torch.asinh(true_steps / neutral)
    return (difference.abs() * wet_pairs).sum() / (len(steps) * wet_pairs.sum())


def created_instability(
    steps: Tensor, true_steps: Tensor, wet_pairs: Tensor, *, neutral: float = NEUTRAL
) -> Tensor:
    """How much less stable pairs are than the truth allows: than neutral, or than its inversion.

    The one-sided part of `stratification_error` below `min(true step, 0)`: a pair that the truth
    overturns may overturn as far, and no pair is asked to be more than neutral.

    steps, true_steps: `b z-1 y x` [kg/m3], positive when stable; wet_pairs: `z-1 y x`
    """
    allowed = torch.asinh(true_steps.clamp(max=0) / neutral)
    excess = torch.relu(allowed - torch.asinh(steps / neutral))
    return (excess * wet_pairs).sum() / (len(steps) * wet_pairs.sum())


def censored_error(
    reconstruction: Tensor,
    target: Tensor,
    bound: Tensor,
    wet: Tensor,
    *,
    width: float = 0.1,
    tolerance: float = 0.01,
) -> Tensor:
    """Likelihood of a Gaussian that is cut off at a lower bound (Tobin 1958, Econometrica 26).

    Where the truth lies at its bound, all that is known of the uncensored value mu is that it is
    no higher: the cost is -2 sigma**2 log Phi((bound - mu) / sigma). Elsewhere it is
    (mu - x)**2, which is 2 sigma**2 times the Gaussian's -log up to a constant. So a value that is
    to be cut off at its bound may lie below it, and above it costs nearly its squared distance.

    reconstruction (mu), target (x), bound: normalised `b c y x`; wet: `c y x`, 1 in the ocean
    width (sigma), tolerance: of "at its bound"; both in units of the levels' standard deviations
    """
    at_bound = target <= bound + tolerance
    # In float64: in float32 the gradient of log Phi goes wrong a hundred widths above the bound.
    # Only where it counts: elsewhere it may overflow, and 0 * inf would spoil the gradient.
    room = torch.where(at_bound, (bound - reconstruction) / width, 0).double()
    hidden = -2 * width**2 * torch.special.log_ndtr(room).to(target.dtype)
    cost = torch.where(at_bound, hidden, (reconstruction - target).square())
    return torch.where(wet > 0, cost, 0).sum() / (len(target) * wet.sum())


def band_energies(field: Tensor, *, bands: int = 6) -> Tensor:
    """Energy of `field` `b c h w` in rings of horizontal wavenumber, `b c k`, [units of field]**2.

    Of the anomaly from the mean of h and w under a Hann window in both directions; all rings
    together hold its variance under the window. Rings are equally wide up to half a cycle per cell,
    the shortest wave along an axis; the corners beyond belong to the last. Computed in float32.
    """
    field = field.float()
    rows, columns = field.shape[-2:]
    window = _hann(rows, field)[:, None] * _hann(columns, field)
    anomaly = (field - field.mean(dim=(-2, -1), keepdim=True)) * window
    power = torch.fft.fft2(anomaly).abs().square() / (rows * columns * window.square().sum())
    frequencies = (torch.fft.fftfreq(size, device=field.device) for size in (rows, columns))
    wavenumber = torch.hypot(*torch.meshgrid(*frequencies, indexing="ij"))
    ring = (wavenumber * 2 * bands).ceil().clamp(max=bands)  # 0 holds the mean alone
    # Not a matrix product, which mixed precision would round.
    return torch.stack([(power * (ring == k)).sum(dim=(-2, -1)) for k in range(1, bands + 1)], -1)


def _hann(size: int, like: Tensor) -> Tensor:
    """A Hann window without its two zeros."""
    window = torch.hann_window(size + 2, periodic=False, dtype=like.dtype, device=like.device)
    return window[1:-1]


def spectral_error(energies: Tensor, true_energies: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Mean difference of the logarithms of band energies `b c k`, whatever their phases.

    1 is a factor e. Smoothing leaves the squared error nearly alone and costs here. Energies far
    below `floor` (in units of the levels' variance) count as equal, so bands without waves or with
    only rounding are harmless.
    """
    return ((energies + floor).log() - (true_energies + floor).log()).abs().mean()
