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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

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
BLOCK_BYTES = 2**30  # of these latents in memory together; of more, blocks of values are read
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
        anomalies = Anomalies(samples, some, group)
        counts = group.bincount()
        freedom = len(some) - len(counts)
        moments = anomalies.moments()
        values, vectors = _leading(moments.products, most=patterns, freedom=freedom)
        variances = values / freedom
        directions = math.prod(shape) - len(variances)
        rest = max(moments.total / max(freedom, 1) - float(variances.sum()), 0.0)
        posterior = moments.posterior
        mixture = cls(shape, len(counts), len(variances))
        mixture.weights.copy_(counts / counts.sum())
        mixture.means.copy_(moments.means.view_as(mixture.means))
        anomalies.combine(vectors / values.sqrt(), out=mixture.patterns.flatten(1))
        mixture.variances.copy_(variances + posterior)
        mixture.remainder.fill_(max(rest / max(directions, 1) + posterior, SMALLEST_VARIANCE))
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


@dataclass(frozen=True)
class Moments:
    """What is summed over some latents.

    means: of each group, `g d`; products: of the anomalies of any two states from these, `n n`
    float64; total: sum of all squares; posterior: mean variance of the encoding
    """

    means: Tensor
    products: Tensor
    total: float
    posterior: float


@dataclass
class Anomalies:
    """Anomalies `n d` of the latents of some samples from the means of their groups, in blocks.

    Latents of more than a block are read once for each block, and are never in memory together.
    Their sums then are float64, so that they do not depend on the blocks.

    some: numbers `n` of the samples, `2 c h w` each; group: `n`
    """

    samples: Samples
    some: NDArray[np.integer]
    group: Tensor

    @cached_property
    def blocks(self) -> list[slice]:
        """Values that are in memory together."""
        values = self.samples[int(self.some[0])][0][0].numel()
        size = max(BLOCK_BYTES // (4 * len(self.some)), 1)
        return [slice(start, min(start + size, values)) for start in range(0, values, size)]

    def moments(self) -> Moments:
        """Means of the groups, and sums over the anomalies."""
        count, groups, end = len(self.some), len(self.group.bincount()), self.blocks[-1].stop
        means = torch.empty(groups, end)
        products, total = torch.zeros(count, count, dtype=torch.float64), 0.0
        for block, centre, anomalies in self:
            means[:, block] = centre
            for part in self._parts(anomalies):
                products += (part @ part.T).double()
                total += float(part.square().sum(dim=1).double().sum())
        return Moments(means, products, total, self._posterior / count)

    def combine(self, weights: Tensor, *, out: Tensor) -> None:
        """Fill `out` `k d` with the sums of the anomalies with `weights` `n k`."""
        for block, _, anomalies in self:
            out[:, block] = weights.T.to(anomalies) @ anomalies

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Each block, with the groups' means `g v` and the anomalies `n v` of its values."""
        if len(self.blocks) == 1:
            yield self.blocks[0], *self._only
            return
        for block in self.blocks:
            yield block, *self._read(block)

    def _parts(self, anomalies: Tensor) -> Iterator[Tensor]:
        """The anomalies of a block as they are summed: a few values in double precision, or all."""
        if len(self.blocks) == 1:
            yield anomalies
            return
        for part in anomalies.split(max(anomalies.shape[1] // 16, 1), dim=1):
            yield part.double()

    @cached_property
    def _only(self) -> tuple[Tensor, Tensor]:
        return self._read(self.blocks[0])

    def _read(self, block: slice) -> tuple[Tensor, Tensor]:
        latents = torch.empty(len(self.some), block.stop - block.start)
        for row, index in zip(latents, self.some, strict=True):
            row.copy_(self.samples[int(index)][0][0].flatten()[block])
        means = _group_means(latents, self.group)
        for row, one in zip(latents, self.group, strict=True):
            row -= means[one]
        return means, latents

    @property
    def _posterior(self) -> float:
        """Sum over the samples of the mean variance of the encoding."""
        return sum(
            float(self.samples[int(index)][0][1].double().square().mean()) for index in self.some
        )


def principal_components(anomalies: Tensor, *, most: int, freedom: int) -> tuple[Tensor, Tensor]:
    """Orthonormal principal components `k d` of anomalies `n d`, and the variance `k` along each.

    At most `most` and `freedom`, the degrees of freedom of the anomalies, in the order of variance;
    from the n x n matrix of inner products, because states have many more values than there are
    states.
    """
    products = (anomalies @ anomalies.T).double()
    values, vectors = _leading(products, most=most, freedom=freedom)
    return (vectors / values.sqrt()).T.to(anomalies) @ anomalies, values / freedom


def _leading(products: Tensor, *, most: int, freedom: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvalues `k` of inner products `n n`, and their vectors `n k`."""
    values, vectors = torch.linalg.eigh(products)
    kept = min(most, freedom, int((values > 1e-9 * values[-1]).sum()))
    return values.flip(0)[:kept], vectors.flip(1)[:, :kept]


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


def _group_means(latents: Tensor, group: Tensor) -> Tensor:
    """Mean `g v` of the latents `n v` of each group."""
    return torch.stack([latents[group == one].mean(dim=0) for one in group.unique()])
