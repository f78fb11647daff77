"""Sampling given observations: the Kalman update of each clean estimate of a chain.

The estimate of the latents z given a noisy sample moves by C H' (H C H' + R)^-1 (y - h(decode(z))),
where C is the covariance of the latents given the noisy sample. This is the posterior score of
Rozet et al. 2024 ("Learning diffusion priors from observations by expectation maximization",
moment matching), with the covariance from the principal components of the training latents in
closed form instead of from products with the denoiser's Jacobian. For a normal distribution, a
linear decoder and a linear h the chain then samples the exact posterior, but for the error of its
solver. H is the Jacobian of h through the linear path of the decoder, the innovation that of the
whole decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from autoencoder.codec import Codec
from autoencoder.passing import passing_at_once
from data.errors import UserError
from data.state import State
from guidance.observations import ObservationOperator
from latent_diffusion.denoiser import NoiseLevel, clean_estimate, velocity
from latent_diffusion.drawn import Frame
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.kalman import Jacobian, SeenPrior, Spectral, Spread
from latent_diffusion.moment_matching import Denoise, DenoiserCovariance, through_denoiser

ROWS_AT_ONCE = 64  # of the Jacobian, if states are not large; each is the gradient of a state
MOST_COMBINATIONS = 1000  # of observed values
MOST_BYTES = 16 * 2**30  # of the derivative of observed values, and of what is made of it:
COPIES, CONDENSED_COPIES = 3, 4  # matrices of its size in float64 at a time
LEAST_SIGHT = 0.05  # singular value: the variance falls by a four-hundredth


@dataclass(frozen=True)
class Evidence:
    """What was observed of the ocean.

    operator: from states to `n` values; value: `n`; covariance: `n n` of their errors
    combinations: `m n`, of the values, where these are too many; the covariance is then of their
        errors, `m m`; rows: `m d`, their derivative with respect to latents
    """

    operator: ObservationOperator
    value: Tensor
    covariance: Tensor
    combinations: Tensor | None = None
    rows: Tensor | None = None

    def innovation(self, state: State) -> Tensor:
        """Observed minus modelled values `b n`, or their combinations `b m`."""
        misfit = self.value.to(state.temperature.device) - self.operator(state)
        return misfit if self.combinations is None else misfit @ self.combinations.to(misfit).T

    def jacobian(self, codec: Codec) -> Tensor:
        """The derivative of these with respect to latents, `n d` or `m d`."""
        if self.rows is None:
            return jacobian(self.operator, codec).double()
        return self.rows.to(codec.latent_weight.device)


@dataclass(frozen=True)
class LatentPosterior:
    """The update of clean estimates by what was observed.

    gaussian: normal distributions of the latents, or of the residuals of a conditional model
    scale: `c 1 1`, of these residuals; 1 for a model without conditions
    inflation: factor of the prior's variance; above 1 where the truth may lie off the training
        states
    iterations: of conjugate gradients with the denoiser's own covariance; 0: that of the closed
        form alone
    tapers: `a h w`, of errors of a conditional model's mean, see `latent_diffusion.inference`
    """

    codec: Codec
    gaussian: MemberGaussians
    evidence: Evidence
    scale: Tensor | float = 1.0
    inflation: float = 1.0
    iterations: int = 0
    tapers: Tensor | None = None

    @torch.no_grad()
    def velocity(
        self,
        v: Tensor,
        scaled: Tensor,
        *,
        level: NoiseLevel,
        frame: Frame | None = None,
        denoise: Denoise | None = None,
    ) -> Tensor:
        """The v `b c h w` whose clean estimate is that of `v`, given the observations.

        scaled: the noisy sample `b c h w` of variance 1; level: its noise; frame: of a conditional
        model, whose estimates are residuals; denoise: v of noisy samples, differentiable; needed
        for corrections by the denoiser's own covariance
        """
        clean = clean_estimate(v, scaled, level)
        latents = frame.latents(clean) if frame else clean
        innovation = self.evidence.innovation(self.codec.decode(latents))
        prior = SeenPrior(
            self._jacobian, self._given(level), self.evidence.covariance.to(innovation),
            self._between_members(scaled, level),
        )  # fmt: skip
        if self.iterations and denoise is not None:
            covariance = DenoiserCovariance(denoise, scaled, level)
            step = through_denoiser(innovation, prior, covariance, iterations=self.iterations)
        else:
            step = prior.step(innovation)
        return velocity(clean + step.view_as(clean).to(clean), scaled, level)

    @cached_property
    def jacobian_of_latents(self) -> Tensor:
        """The derivative `n d` of the observed values through the decoder's linear path."""
        return self.evidence.jacobian(self.codec)

    def seen_covariance(self) -> Tensor:
        """Covariance `n n` of observed values: of the latents of one member, and of the errors."""
        prior = self._given(NoiseLevel(0.0, 1.0))
        seen = self._jacobian.covariance(prior.along, prior.across)
        return seen + self.evidence.covariance.to(seen)

    @cached_property
    def _jacobian(self) -> Jacobian:
        """The same, with respect to the residuals of a conditional model."""
        rows = self.jacobian_of_latents
        width = _widths(self.scale, self.codec).to(rows)
        return Jacobian.of(rows * width, self.gaussian.patterns.flatten(1))

    def _given(self, level: NoiseLevel) -> Spectral:
        """Covariance of the latents of one member given a noisy sample."""

        def left(variance: Tensor) -> Tensor:
            inflated = self.inflation * variance.double()
            return inflated * level.noise**2 / (level.signal**2 * inflated + level.noise**2)

        return Spectral(left(self.gaussian.variances), left(self.gaussian.remainder))

    def _between_members(self, scaled: Tensor, level: NoiseLevel) -> Spread | None:
        """What the estimates of the members differ by, given a noisy sample."""
        if len(self.gaussian.means) == 1:
            return None
        probability, means = self.gaussian.member_estimates(
            scaled, signal=level.signal, noise=level.noise
        )
        probability = probability.double()
        # sqrt(p) (mean - sum of p mean): the sum of its squares is the members' covariance.
        centred = torch.eye(len(means)).to(probability) - probability[:, :, None]
        return Spread(centred * probability.sqrt()[:, None, :], means.double())


def condensed(
    operator: ObservationOperator,
    value: Tensor,
    error: Tensor,
    *,
    codec: Codec,
    gaussian: MemberGaussians,
    scale: Tensor | float = 1.0,
    inflation: float = 1.0,
    directions: Tensor | None = None,
    most: int = MOST_COMBINATIONS,
) -> Evidence:
    """What so many values say about the latents that the prior allows, in few numbers.

    Values in units of their errors, seen through the prior's covariance, have singular values s;
    a combination reduces the variance of what it sees by the factor 1 / (1 + s²). Those that do so
    noticeably are kept (Rodgers 2000, "Inverse methods for atmospheric sounding", section 2.4). The
    update by all combinations would be that by the values.

    value, error: `n`, of independent errors; scale, inflation: as for `LatentPosterior`
    directions: `j d`, in which latents vary beside `gaussian`, with their standard deviation
    most: number of combinations that are kept at most

    Raises `UserError` if the derivative of the values would take more than 16 GiB.
    """
    check_size(operator.count, codec, copies=CONDENSED_COPIES, advice="give a coarser source")
    rows = jacobian(operator, codec).double()
    rows = rows / error.to(rows)[:, None]
    seen = [*_seen_by_prior(rows, gaussian, width=_widths(scale, codec), inflation=inflation)]
    if directions is not None:
        seen.append(rows @ directions.to(rows).T)
    left, size, _ = _leading(torch.cat(seen, dim=1), most)
    left = left[:, size > LEAST_SIGHT]
    return Evidence(
        operator,
        value,
        torch.eye(left.shape[1]).to(rows),
        left.T / error.to(rows),
        left.T @ rows,
    )


def _seen_by_prior(
    rows: Tensor, gaussian: MemberGaussians, *, width: Tensor, inflation: float
) -> tuple[Tensor, Tensor]:
    """A root of the prior's covariance as values see it: within members `n d`, between them `n m`.

    rows: derivative `n d` of the values with respect to latents; width: `d`, of the residuals
    """
    residual = rows * width.to(rows)
    patterns = gaussian.patterns.flatten(1).to(rows)
    across = (inflation * gaussian.remainder.to(rows)).sqrt()
    along = (inflation * gaussian.variances.to(rows)).sqrt() - across
    within = ((residual @ patterns.T) * along) @ patterns + across * residual
    means, weights = gaussian.means.flatten(1).to(rows), gaussian.weights.to(rows)
    between = weights.sqrt()[:, None] * (means - weights @ means)
    return within, residual @ between.T


def _widths(scale: Tensor | float, codec: Codec) -> Tensor:
    """The scale of the residuals of each latent value, `d`."""
    return torch.as_tensor(scale).double().expand(codec.latent_shape).flatten()


def check_size(
    values: int,
    codec: Codec,
    *,
    copies: int = COPIES,
    advice: str = "give fewer observations, such as means over layers or boxes",
) -> None:
    """Raise `UserError` if the derivative of so many values would take more than 16 GiB.

    copies: how many matrices of its size there are at a time
    """
    latents = math.prod(codec.latent_shape)
    need = 8 * copies * values * latents
    if need > MOST_BYTES:
        raise UserError(
            f"{values} values and {latents} latents need {need / 2**30:.0f} GiB of memory, more "
            f"than the {MOST_BYTES / 2**30:.0f} that are allowed: {advice}"
        )


def _leading(matrix: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values of a matrix `n d`: all, or the leading ones.

    These are found by subspace iteration, from a start that is the same each time.
    """
    if min(matrix.shape) <= most:
        return torch.linalg.svd(matrix, full_matrices=False)
    devices = [] if matrix.device.type == "cpu" else [matrix.device]
    with torch.random.fork_rng(devices=devices, device_type=matrix.device.type):
        torch.manual_seed(0)
        return torch.svd_lowrank(matrix, q=most, niter=3)


def jacobian(operator: ObservationOperator, codec: Codec) -> Tensor:
    """The derivative `n d` of observed values with respect to latents.

    On the decoder's linear path; of a decoder without, at latents of 0.

    Raises `UserError` if it and what is made of it would take more than 16 GiB.
    """
    check_size(operator.count, codec)
    if codec.has_linear_path and operator.count > math.prod(codec.latent_shape):
        return _by_columns(operator, codec)
    return _by_rows(operator, codec)


def _by_rows(operator: ObservationOperator, codec: Codec) -> Tensor:
    """A gradient for each observed value."""
    decode = codec.decode_linearly if codec.has_linear_path else codec.decode
    device = codec.latent_weight.device
    rows, at_once = [], passing_at_once(codec, ROWS_AT_ONCE)
    with torch.inference_mode(False), torch.enable_grad():
        for start in range(0, operator.count, at_once):
            mine = torch.arange(start, min(start + at_once, operator.count), device=device)
            latents = torch.zeros(len(mine), *codec.latent_shape, device=device, requires_grad=True)
            # Copies of one latent, because each observation needs a gradient of its own.
            seen = operator(decode(latents))
            (gradient,) = torch.autograd.grad(
                seen[torch.arange(len(mine), device=device), mine].sum(), latents
            )
            rows.append(gradient.flatten(1))
    return torch.cat(rows)


@torch.no_grad()
def _by_columns(operator: ObservationOperator, codec: Codec) -> Tensor:
    """A decoded unit for each latent value: fewer, and without gradients, for many values."""
    device, count = codec.latent_weight.device, math.prod(codec.latent_shape)
    origin = operator(codec.decode_linearly(torch.zeros(1, *codec.latent_shape, device=device)))
    columns, at_once = [], passing_at_once(codec, ROWS_AT_ONCE)
    for start in range(0, count, at_once):
        mine = torch.arange(start, min(start + at_once, count), device=device)
        units = torch.zeros(len(mine), count, device=device)
        units[torch.arange(len(mine), device=device), mine] = 1.0
        seen = operator(codec.decode_linearly(units.view(-1, *codec.latent_shape)))
        columns.append(seen - origin)
    return torch.cat(columns).T.contiguous()
