"""A censored Gaussian likelihood of temperature, and a decoder that keeps to the bound.

Finn et al. 2024, "Towards diffusion models for large-scale sea-ice modelling", arXiv 2406.18417,
and the sea-ice model GenSIM, arXiv 2508.14984: where a variable has a bound, the decoder's output
is the mean of a Gaussian whose values beyond the bound are observed at the bound (Tobin 1958,
Econometrica 26).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoder.codec import VolumeCodec
from autoencoder.objective import AutoencoderObjective, Comparison
from autoencoder.volume_vae import Decoded
from data.state import State
from guidance.seawater import EquationOfState
from studies.terms.settings import CensoredSettings

LINEAR = 20.0  # softnesses above the bound, where the soft bound is the identity in float32


def censored_log_likelihood(
    value: Tensor, mean: Tensor, bound: Tensor, *, scale: float, at_bound: Tensor
) -> Tensor:
    """Log likelihood of observed values under a Gaussian censored below at `bound`.

    A probability at the bound, log Phi((bound - mean) / scale), and a density above it, that of
    N(mean, scale^2).

    value, mean, bound: in the same units and of the same shape; at_bound: where the value is
        observed at the bound, bool
    """
    # float64: in float32 the gradient of log Phi fails a hundred scales above the bound. Masked
    # before the function: elsewhere it may overflow, and 0 * inf gives NaN gradients.
    distance = torch.where(at_bound, (bound - mean) / scale, 0).double()
    censored = torch.special.log_ndtr(distance).to(value.dtype)
    constant = math.log(scale) + 0.5 * math.log(2 * math.pi)
    density = -0.5 * ((value - mean) / scale).square() - constant
    return torch.where(at_bound, censored, density)


def softly_bounded(value: Tensor, *, bound: Tensor, softness: Tensor) -> Tensor:
    """Values that approach `bound` from above: bound + softness * softplus((value - bound) / it).

    At the bound the result is 0.69 softness above it; 20 softnesses above it and further, it is
    the value itself, bitwise.
    """
    above = value - bound
    bounded = bound + softness * F.softplus(above / softness)
    return torch.where(above > LINEAR * softness, value, bounded)


class BoundedCodec(VolumeCodec):
    """A codec whose decoded temperature stays above a bound, softly.

    The bound, the lowest temperature [degC], and the softness [K] (see `softly_bounded`) are
    buffers, saved with the weights.
    """

    bound: Tensor
    softness: Tensor

    def __init__(self, ocean: dict[str, Any], multiple: int, design: dict[str, Any]) -> None:
        super().__init__(ocean=ocean, multiple=multiple, design=design)
        self.register_buffer("bound", torch.zeros(()))
        self.register_buffer("softness", torch.ones(()))

    @classmethod
    def around(cls, codec: VolumeCodec, *, bound: float, softness: float) -> BoundedCodec:
        """The codec with a bound, with copies of its weights."""
        bounded = cls(**{name: codec.config[name] for name in ("ocean", "multiple", "design")})
        own = {"bound": torch.tensor(bound), "softness": torch.tensor(softness)}
        bounded.load_state_dict(codec.state_dict() | own)
        return bounded

    def reconstruct(self, decoded: Decoded, *, first: int = 0) -> State:
        """As `VolumeCodec.reconstruct`, with the bound."""
        state = super().reconstruct(decoded, first=first)
        rows = self.padding.ocean_rows(first, first + decoded[0].shape[2])
        wet = self.statistics.wet[: state.levels, rows]
        bounded = softly_bounded(state.temperature, bound=self.bound, softness=self.softness)
        return State(torch.where(wet, bounded, 0), state.salinity, state.sea_level)

    def without_bound(self, decoded: Decoded) -> State:
        """The mean of the Gaussian before censoring, as a state."""
        return super().reconstruct(decoded)


class CensoredObjective(AutoencoderObjective):
    """The autoencoder's loss with the censored likelihood as reconstruction error of temperature.

    Times -2 scale^2, so that it is the squared error, up to a constant, of all values above the
    bound, and the other terms keep their weights. The other variables keep the squared error.

    codec: its bound and softness are those of the likelihood; values within one softness of the
        bound count as observed at it, because the decoder does not come nearer
    eos, losses, latent_jitter: see `AutoencoderObjective`
    """

    codec: BoundedCodec

    def __init__(
        self,
        codec: BoundedCodec,
        *,
        settings: CensoredSettings,
        eos: EquationOfState,
        losses: dict[str, float],
        latent_jitter: float = 0.0,
    ) -> None:
        super().__init__(codec, eos=eos, losses=losses, latent_jitter=latent_jitter)
        self._scale = settings.scale

    def terms(self, comparison: Comparison) -> dict[str, Tensor]:
        """The value of each term with a weight."""
        return super().terms(comparison) | {"reconstruction": self._reconstruction(comparison)}

    def _reconstruction(self, comparison: Comparison) -> Tensor:
        """Mean cost over wet cells, in standard deviations of each level."""
        codec, truth, statistics = self.codec, comparison.truth, self.codec.statistics
        levels = truth.levels
        lowest = codec.bound.expand_as(truth.temperature)
        bound = State(lowest, truth.salinity, truth.sea_level)
        mean = statistics.normalise(codec.without_bound(comparison.decoded))
        value = comparison.true_normalised
        likelihood = censored_log_likelihood(
            value[:, :levels],
            mean[:, :levels],
            statistics.normalise(bound)[:, :levels],
            scale=self._scale,
            at_bound=truth.temperature <= codec.bound + codec.softness,
        )
        squares = (mean - value)[:, levels:].square()
        cost = torch.cat([-2 * self._scale**2 * likelihood, squares], dim=1)
        wet = statistics.wet
        return torch.where(wet, cost, 0).sum() / (len(value) * wet.sum())
