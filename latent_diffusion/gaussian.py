"""The Gaussian part of the denoiser: what mean and covariance of the latents say about v.

Anomalies that span the ocean are a few directions among very many latent values. A network of
convolutions recovers their amplitude from noise only slowly, and its samples lose their variance
and gain noise in directions in which no state varies. For a normal distribution the ideal denoiser
is known (the Wiener filter), and at high noise every distribution is nearly normal (Wang & Vastola
2024, Transactions on Machine Learning Research, "The unreasonable effectiveness of Gaussian score
approximation for diffusion models"). The network therefore learns only the difference from it.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from data.archive.splits import spread_out
from data.batches import Samples

MOST_STATES = 512  # for the covariance; limits the memory of data-space models
SMALLEST_VARIANCE = 1e-4  # of a standardised latent; smaller ones are noise of the encoding

Amplitude = Tensor | float


class LatentGaussian(ModelMixin, ConfigMixin):
    """A normal distribution of standardised latents `c h w`.

    Its variance is `variances` `k` along orthonormal `patterns` `k c h w`, the principal components
    of the latents, and `remainder` in every other direction. Without patterns it is the standard
    normal distribution, whose v is 0.

    latent_shape: c, h, w; rank: k
    """

    mean: Tensor
    patterns: Tensor
    variances: Tensor
    remainder: Tensor

    @register_to_config
    def __init__(self, latent_shape: tuple[int, int, int], rank: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(*latent_shape))
        self.register_buffer("patterns", torch.zeros(rank, *latent_shape))
        self.register_buffer("variances", torch.ones(rank))
        self.register_buffer("remainder", torch.ones(()))

    @classmethod
    def of(cls, samples: Samples, *, patterns: int) -> LatentGaussian:
        """The distribution of at most 512 of the `samples`, each `2 c h w`: mean and std.

        patterns: largest number of principal components; 0: the standard normal distribution
        """
        moments = torch.stack([samples[i][0] for i in _spread(len(samples))])
        shape = tuple(moments.shape[2:])
        if not patterns or len(moments) < 2:
            return cls(shape)
        means, stds = moments.unbind(dim=1)
        mean = means.double().mean(dim=0)
        components, variances = principal_components((means - mean).flatten(1), most=patterns)
        posterior = float(stds.double().square().mean())
        gaussian = cls(shape, len(variances))
        gaussian.mean.copy_(mean)
        gaussian.patterns.copy_(components.view(-1, *shape))
        gaussian.variances.copy_(variances + posterior)
        rest = _remaining_variance(means - mean, variances)
        gaussian.remainder.fill_(max(rest + posterior, SMALLEST_VARIANCE))
        return gaussian

    def velocity(self, scaled: Tensor, *, signal: Amplitude, noise: Amplitude) -> Tensor:
        """The ideal v `b c h w` for `scaled` = signal z + noise n with z of this distribution.

        signal, noise: amplitudes, their squares sum to 1; numbers or `b 1 1 1`. In a direction of
        variance l, with x = scaled - signal mean, E[v | x] = signal noise (1 - l) / (signal² l +
        noise²) x, from E[z | x] = signal l / (signal² l + noise²) x; and -noise mean is added.
        """
        with torch.autocast(scaled.device.type, enabled=False):
            return self._velocity(scaled.float(), *self._columns(scaled, signal, noise))

    def _velocity(self, scaled: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        mean, patterns = self.mean.flatten(), self.patterns.flatten(1)
        anomaly = scaled.flatten(1) - signal * mean
        along, across = (
            signal * noise * (1 - variance) / (signal**2 * variance + noise**2)
            for variance in (self.variances, self.remainder)
        )
        v = ((anomaly @ patterns.T) * (along - across)) @ patterns + across * anomaly
        return (v - noise * mean).view_as(scaled)

    def _columns(self, scaled: Tensor, *amplitudes: Amplitude) -> list[Tensor]:
        """Amplitudes as float32 columns `b 1`, or `1 1`."""
        return [
            torch.as_tensor(a, dtype=torch.float32, device=scaled.device).reshape(-1, 1)
            for a in amplitudes
        ]


def principal_components(anomalies: Tensor, *, most: int) -> tuple[Tensor, Tensor]:
    """Orthonormal principal components `k d` of anomalies `n d`, and the variance `k` along each.

    At most `most` and n - 1, in the order of variance; from the n x n matrix of inner products,
    because states have many more values than there are states.
    """
    values, vectors = torch.linalg.eigh((anomalies @ anomalies.T).double())
    kept = min(most, len(anomalies) - 1, int((values > 1e-9 * values[-1]).sum()))
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept]
    components = (vectors / values.sqrt()).T.to(anomalies) @ anomalies
    return components, values / (len(anomalies) - 1)


def _remaining_variance(anomalies: Tensor, variances: Tensor) -> float:
    """Mean variance of anomalies `n c h w` in the directions beyond those of `variances` `k`."""
    directions = anomalies[0].numel() - len(variances)
    total = float(anomalies.double().square().sum()) / (len(anomalies) - 1)
    return max(total - float(variances.sum()), 0.0) / max(directions, 1)


def _spread(count: int) -> list[int]:
    return spread_out(np.arange(count), MOST_STATES).tolist()
