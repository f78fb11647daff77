"""Functions behind the terms of the autoencoder's loss. Each returns a scalar for a batch.

Sums over a mask are divided by the number of its cells, or by `count` in a window, where it is the
number that makes the mean over windows that of the whole field.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoencoder.precision import single_or_better

NEUTRAL = 1e-3  # [kg/m3] density steps below this count as neutral (a mixed layer)


def reconstruction_error(
    reconstruction: Tensor, target: Tensor, wet: Tensor, *, count: float | None = None
) -> Tensor:
    """Mean squared error over wet cells, in standard deviations of each level.

    reconstruction, target: normalised `b c y x`; wet: `c y x`, 1 in the ocean
    """
    squared = (reconstruction - target).square() * wet
    return squared.sum() / (len(target) * _or_number(count, wet))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of the posterior `b l h w` from a standard normal, mean over latent values."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def stratification_error(
    steps: Tensor,
    true_steps: Tensor,
    wet_pairs: Tensor,
    *,
    count: float | None = None,
    neutral: float = NEUTRAL,
) -> Tensor:
    """Error of the density steps between neighbouring levels, most sensitive near neutral.

    Steps [kg/m3] are compressed as `asinh(step / neutral)`, so that an error of one `neutral` in a
    mixed column weighs as much as a tenfold error in a stratified one. The error is symmetric:
    making a neutral pair stable costs as much as making it unstable, so mixed layers stay mixed.

    steps, true_steps: `b z-1 y x`, positive when stable; wet_pairs: `z-1 y x`
    """
    difference = torch.asinh(steps / neutral) - torch.asinh(true_steps / neutral)
    return (difference.abs() * wet_pairs).sum() / (len(steps) * _or_number(count, wet_pairs))


def created_instability(
    steps: Tensor,
    true_steps: Tensor,
    wet_pairs: Tensor,
    *,
    count: float | None = None,
    neutral: float = NEUTRAL,
) -> Tensor:
    """Instability beyond that of the truth.

    The one-sided part of `stratification_error` below `min(true step, 0)`: a pair that is unstable
    in the truth may be equally unstable, and no pair needs to be more stable than neutral.

    steps, true_steps: `b z-1 y x` [kg/m3], positive when stable; wet_pairs: `z-1 y x`
    """
    allowed = torch.asinh(true_steps.clamp(max=0) / neutral)
    excess = torch.relu(allowed - torch.asinh(steps / neutral))
    return (excess * wet_pairs).sum() / (len(steps) * _or_number(count, wet_pairs))


def error_outside_range(
    steps: Tensor,
    one: Tensor,
    other: Tensor,
    wet_pairs: Tensor,
    *,
    count: float | None = None,
    neutral: float = NEUTRAL,
) -> Tensor:
    """Error of density steps outside the range between those of two states.

    The measure is that of `stratification_error`. A pair that is stratified in both states must be
    stratified, one that is mixed in both must be mixed, and anything between theirs is allowed.

    steps, one, other: `b z-1 y x` [kg/m3], positive when stable; wet_pairs: `z-1 y x`
    """
    compressed = torch.asinh(steps / neutral)
    low = torch.asinh(torch.minimum(one, other) / neutral)
    high = torch.asinh(torch.maximum(one, other) / neutral)
    excess = torch.relu(low - compressed) + torch.relu(compressed - high)
    return (excess * wet_pairs).sum() / (len(steps) * _or_number(count, wet_pairs))


def censored_error(
    reconstruction: Tensor,
    target: Tensor,
    bound: Tensor,
    wet: Tensor,
    *,
    count: float | None = None,
    width: float = 0.1,
    tolerance: float = 0.01,
) -> Tensor:
    """Negative log-likelihood, censored at a lower bound (Tobin 1958, Econometrica 26).

    Where the truth is at its bound, the uncensored value mu is only known to be no higher, and the
    cost is -2 sigma**2 log Phi((bound - mu) / sigma). Elsewhere it is (mu - x)**2, which is
    2 sigma**2 times the Gaussian's -log up to a constant. At the bound, values below it cost
    little and values above it nearly their squared distance.

    reconstruction (mu), target (x), bound: normalised `b c y x`; wet: `c y x`, 1 in the ocean
    width (sigma), tolerance: the truth is at its bound if at most this far above it; both in
        standard deviations of each level
    """
    at_bound = target <= bound + tolerance
    # float64: in float32 the gradient of log Phi fails a hundred widths above the bound.
    # Masked before the function: elsewhere it may overflow, and 0 * inf gives NaN gradients.
    distance = torch.where(at_bound, (bound - reconstruction) / width, 0).double()
    censored = -2 * width**2 * torch.special.log_ndtr(distance).to(target.dtype)
    cost = torch.where(at_bound, censored, (reconstruction - target).square())
    return torch.where(wet > 0, cost, 0).sum() / (len(target) * _or_number(count, wet))


def band_energies(field: Tensor, *, bands: int = 6) -> Tensor:
    """Energy of `field` `b c h w` in bands of horizontal wavenumber, `b c k`, [units of field]**2.

    Computed in float32 or better from the anomaly from the horizontal mean, under a Hann window in
    both directions; the bands add up to the variance under the window. Bands are equally wide up to
    half a cycle per cell; the last also contains the higher wavenumbers of diagonal waves.
    """
    field = single_or_better(field)
    rows, columns = field.shape[-2:]
    window = _hann(rows, field)[:, None] * _hann(columns, field)
    anomaly = (field - field.mean(dim=(-2, -1), keepdim=True)) * window
    power = torch.fft.fft2(anomaly).abs().square() / (rows * columns * window.square().sum())
    frequencies = (torch.fft.fftfreq(size, device=field.device) for size in (rows, columns))
    wavenumber = torch.hypot(*torch.meshgrid(*frequencies, indexing="ij"))
    band = (wavenumber * 2 * bands).ceil().clamp(max=bands)  # band 0 is the mean
    # A matrix product would be rounded in mixed precision.
    return torch.stack([(power * (band == k)).sum(dim=(-2, -1)) for k in range(1, bands + 1)], -1)


def _hann(size: int, like: Tensor) -> Tensor:
    """A Hann window without its zeros at both ends."""
    window = torch.hann_window(size + 2, periodic=False, dtype=like.dtype, device=like.device)
    return window[1:-1]


def spectral_error(energies: Tensor, true_energies: Tensor, *, floor: float = 1e-5) -> Tensor:
    """Mean absolute difference of the log energies of bands `b c k`; 1 is a factor e.

    It penalises smoothing, which barely changes the squared error. Energies far below `floor` (in
    variances of each level) count as equal, so empty bands and rounding errors have no effect.
    """
    return ((energies + floor).log() - (true_energies + floor).log()).abs().mean()


def _or_number(count: float | None, mask: Tensor) -> float | Tensor:
    """`count`, or the number of cells in `mask`."""
    return mask.sum() if count is None else count
