"""The covariance of latents given a noisy sample, from the Jacobian of the denoiser.

For a sample x = a z + s n the covariance of z given x is s^2 / a times the derivative of E[z | x]
(Rozet et al. 2024, "Learning diffusion priors from observations by expectation maximization",
equation 20). Its products with vectors are gradients through the network, so that a few iterations
of conjugate gradients solve for the update. The closed form is their preconditioner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_diffusion.denoiser import NoiseLevel, clean_estimate
from latent_diffusion.kalman import SeenPrior

Denoise = Callable[[Tensor], Tensor]
SMALLEST_SIGNAL = 1e-3  # below it the sample says nothing, and the covariance is the prior's


@dataclass(frozen=True)
class DenoiserCovariance:
    """The covariance of the clean latents given noisy samples `scaled` `b c h w`.

    denoise: v of noisy samples, differentiable
    """

    denoise: Denoise
    scaled: Tensor
    level: NoiseLevel

    def times(self, vectors: Tensor) -> Tensor:
        """Products `b d` with vectors `b d`; the covariance is taken as symmetric."""
        factor = self.level.noise**2 / max(self.level.signal, SMALLEST_SIGNAL)
        with torch.inference_mode(False), torch.enable_grad():
            noisy = self.scaled.detach().clone().requires_grad_()
            clean = clean_estimate(self.denoise(noisy), noisy, self.level)
            weight = vectors.view_as(clean).to(clean)
            (product,) = torch.autograd.grad(clean, noisy, weight)
        return factor * product.flatten(1).to(vectors)


def through_denoiser(
    innovation: Tensor, prior: SeenPrior, covariance: DenoiserCovariance, *, iterations: int
) -> Tensor:
    """V H' (H V H' + R)^-1 d, `b d`, for innovations d `b n` and the denoiser's covariance V.

    Conjugate gradients, preconditioned by the closed form `prior`. A sample for which V is no
    covariance in a direction keeps what it has so far.
    """
    rows, errors = prior.jacobian.rows, prior.errors

    def seen(weights: Tensor) -> Tensor:
        return covariance.times(weights @ rows) @ rows.T + weights @ errors

    weights = torch.zeros_like(innovation)
    residual = innovation
    preconditioned = direction = prior.weights(residual)
    size = (residual * preconditioned).sum(dim=1, keepdim=True)
    for _ in range(iterations):
        image = seen(direction)
        curvature = (direction * image).sum(dim=1, keepdim=True)
        usable = curvature > 0
        length = torch.where(usable, size / torch.where(usable, curvature, 1.0), 0.0)
        weights = weights + length * direction
        residual = residual - length * image
        preconditioned = prior.weights(residual)
        following = (residual * preconditioned).sum(dim=1, keepdim=True)
        direction = preconditioned + following / size.clamp(min=1e-30) * direction
        size = following
    return covariance.times(weights @ rows)
