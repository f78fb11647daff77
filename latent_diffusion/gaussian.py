"""The closed form of the denoiser: what means and covariance of the latents say about v.

Anomalies that span the ocean are a few directions among very many latent values. A network of
convolutions recovers their amplitude from noise only slowly, and its samples lose their variance
and gain noise in directions in which no state varies. For a normal distribution the ideal denoiser
is known (the Wiener filter), and at high noise every distribution is nearly normal (Wang & Vastola
2024, Transactions on Machine Learning Research, "The unreasonable effectiveness of Gaussian score
approximation for diffusion models"). The members of an ensemble have different means, so that one
normal distribution would blur them: here each member has its own, with a common covariance. The
network learns only the difference from this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor

from autoencoder.precision import FullPrecision
from data.archive.splits import spread_out
from data.batches import Samples

MOST_STATES = 512  # for the covariance
MOST_BYTES = 2 * 2**30  # of their latents, and so of the patterns; fewer states of a large ocean
FEWEST_OF_A_MEMBER = 16  # fewer do not tell a member's mean from its states
SMALLEST_VARIANCE = 1e-4  # of a standardised latent; smaller ones are noise of the encoding

Amplitude = Tensor | float
Factor = Callable[[Tensor], Tensor]  # of variances


class MemberGaussians(FullPrecision, ModelMixin, ConfigMixin):
    """A mixture of normal distributions of standardised latents `c h w`, one for each member.

    Member m has the weight `weights` `m` and the mean `means` `m c h w`. The common covariance has
    the variance `variances` `k` along orthonormal `patterns` `k c h w`, the principal components of
    the anomalies from the members' means, and `remainder` in every other direction. By default it
    is the standard normal distribution, whose v is 0.

    latent_shape: c, h, w; members: m; rank: k
    """

    weights: Tensor
    means: Tensor
    patterns: Tensor
    variances: Tensor
    remainder: Tensor

    @register_to_config
    def __init__(self, latent_shape: tuple[int, int, int], members: int = 1, rank: int = 0) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((members,), 1 / members))
        self.register_buffer("means", torch.zeros(members, *latent_shape))
        self.register_buffer("patterns", torch.zeros(rank, *latent_shape))
        self.register_buffer("variances", torch.ones(rank))
        self.register_buffer("remainder", torch.ones(()))

    @classmethod
    def of(cls, samples: Samples, member: NDArray[np.integer], *, patterns: int) -> MemberGaussians:
        """The distribution of some of the `samples`, each `2 c h w`: mean and std.

        Of at most 512, and no more than fit into 2 GiB. Where half of the members have fewer than
        16 of these, all have one mean.

        member: ensemble member of each sample
        patterns: largest number of principal components; 0: the standard normal distribution
        """
        shape = tuple(samples[0][0].shape[1:])
        some = spread_out(np.arange(len(samples)), _most_states(math.prod(shape)))
        if not patterns or len(some) < 2:
            return cls(shape)
        group = _groups(member[some])
        latents, posterior = _latents_of(samples, some)
        counts, means = group.bincount(), _group_means(latents, group)
        freedom = len(latents) - len(counts)
        anomalies = latents.sub_(means[group]).flatten(1)
        components, variances = principal_components(anomalies, most=patterns, freedom=freedom)
        rest = _remaining_variance(anomalies, variances, freedom=freedom)
        mixture = cls(shape, len(counts), len(variances))
        mixture.weights.copy_(counts / counts.sum())
        mixture.means.copy_(means)
        mixture.patterns.copy_(components.view(-1, *shape))
        mixture.variances.copy_(variances + posterior)
        mixture.remainder.fill_(max(rest + posterior, SMALLEST_VARIANCE))
        return mixture

    def velocity(self, scaled: Tensor, *, signal: Amplitude, noise: Amplitude) -> Tensor:
        """The ideal v `b c h w` for `scaled` = signal z + noise n with z of this distribution.

        signal, noise: amplitudes, their squares sum to 1; numbers or `b 1 1 1`. In a direction of
        variance l, with x = scaled - signal mean, E[v | x] = signal noise (1 - l) / (signal² l +
        noise²) x - noise mean, from E[z | x] = mean + signal l / (signal² l + noise²) x. The mean
        is that of the members, weighted with their probability given `scaled`.
        """
        with _in_full_precision(scaled.device.type):
            signal, noise = self._columns(scaled, signal, noise)
            flat = scaled.float().flatten(1)
            mean = self._probable_mean(flat, signal, noise)

            def gain(variance: Tensor) -> Tensor:
                return signal * noise * (1 - variance) / (signal**2 * variance + noise**2)

            v = self._spectrally(flat - signal * mean, gain)
            return (v - noise * mean).view_as(scaled)

    def member_estimates(
        self, scaled: Tensor, *, signal: Amplitude, noise: Amplitude
    ) -> tuple[Tensor, Tensor]:
        """Probability `b m` of each member given `scaled`, and what its mean adds to E[z | x].

        The second is `m d`: noise² / (signal² l + noise²) mean in directions of variance l. It is
        relative to the mean over all members. Arguments as for `velocity`, the amplitudes numbers.
        """
        with _in_full_precision(scaled.device.type):
            signal, noise = self._columns(scaled, signal, noise)
            means = self.means.flatten(1)

            def kept(variance: Tensor) -> Tensor:
                return noise**2 / (signal**2 * variance + noise**2)

            probability = self._probabilities(scaled.float().flatten(1), signal, noise)
            return probability, self._spectrally(means - self.weights @ means, kept)

    def _probable_mean(self, flat: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The members' mean `b d`, weighted with their probability given `flat` `b d`."""
        means = self.means.flatten(1)
        if len(means) == 1:
            return means.expand_as(flat)
        return self._probabilities(flat, signal, noise) @ means

    def _probabilities(self, flat: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """Probability `b m` of each member given `flat` `b d`, by Bayes' rule.

        Relative to the mean over all members, so that large terms cancel exactly.
        """
        means = self.means.flatten(1)
        centre = self.weights @ means
        offsets = means - centre

        def precision(variance: Tensor) -> Tensor:
            return 1 / (signal**2 * variance + noise**2)

        evidence = signal * self._spectrally(flat - signal * centre, precision) @ offsets.T
        along = (offsets @ self.patterns.flatten(1).T).square()
        across = offsets.square().sum(dim=1) - along.sum(dim=1)
        distance = precision(self.variances) @ along.T + precision(self.remainder) * across
        return (self.weights.log() + evidence - 0.5 * signal**2 * distance).softmax(dim=1)

    def _spectrally(self, anomaly: Tensor, factor: Factor) -> Tensor:
        """Anomalies `b d`, multiplied by a function of the variance in every direction."""
        patterns = self.patterns.flatten(1)
        across = factor(self.remainder)
        along = factor(self.variances) - across
        return ((anomaly @ patterns.T) * along) @ patterns + across * anomaly

    def _columns(self, scaled: Tensor, *amplitudes: Amplitude) -> list[Tensor]:
        """Amplitudes as float32 columns `b 1`, or `1 1`."""
        return [
            torch.as_tensor(a, dtype=torch.float32, device=scaled.device).reshape(-1, 1)
            for a in amplitudes
        ]


def principal_components(anomalies: Tensor, *, most: int, freedom: int) -> tuple[Tensor, Tensor]:
    """Orthonormal principal components `k d` of anomalies `n d`, and the variance `k` along each.

    At most `most` and `freedom`, the degrees of freedom of the anomalies, in the order of variance;
    from the n x n matrix of inner products, because states have many more values than there are
    states.
    """
    values, vectors = torch.linalg.eigh((anomalies @ anomalies.T).double())
    kept = min(most, freedom, int((values > 1e-9 * values[-1]).sum()))
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept]
    components = (vectors / values.sqrt()).T.to(anomalies) @ anomalies
    return components, values / freedom


def _in_full_precision(device: str) -> AbstractContextManager[object]:
    """Without autocast, where the device has it: factors range over many orders of magnitude."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def _most_states(values: int) -> int:
    """Number of states whose latents of so many float32 values are held."""
    return min(MOST_STATES, max(MOST_BYTES // (4 * values), 2))


def _groups(member: NDArray[np.integer]) -> Tensor:
    """Group `n` of each state: its member, or 0 for all where members have few states."""
    group = torch.from_numpy(np.unique(member, return_inverse=True)[1])
    few = group.bincount().median() < FEWEST_OF_A_MEMBER
    return torch.zeros_like(group) if few else group


def _latents_of(samples: Samples, some: NDArray[np.integer]) -> tuple[Tensor, float]:
    """Means of the latents of some samples, `n c h w`, and the mean of their variances."""
    first, _ = samples[int(some[0])]
    latents, variance = torch.empty(len(some), *first.shape[1:]), 0.0
    for row, index in zip(latents, some, strict=True):
        mean, std = samples[int(index)][0]
        row.copy_(mean)
        variance += float(std.double().square().mean())
    return latents, variance / len(some)


def _group_means(latents: Tensor, group: Tensor) -> Tensor:
    """Mean `g c h w` of the latents `n c h w` of each group."""
    return torch.stack([latents[group == one].mean(dim=0) for one in group.unique()])


def _remaining_variance(anomalies: Tensor, variances: Tensor, *, freedom: int) -> float:
    """Mean variance of anomalies `n d` in the directions beyond those of `variances` `k`."""
    directions = anomalies.shape[1] - len(variances)
    total = float(anomalies.square().sum(dim=1).double().sum()) / max(freedom, 1)
    return max(total - float(variances.sum()), 0.0) / max(directions, 1)
