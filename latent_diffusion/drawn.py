"""What a chain of the pipeline belongs to, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from diffusers.utils import BaseOutput
from torch import Tensor

from data.conditions import Conditions
from data.state import State


@dataclass
class StatePipelineOutput(BaseOutput):
    """States in physical units, their standardised latents `b c h w`, and their conditions.

    conditions: of a conditional model, given or drawn; None for a model without
    """

    state: State
    latents: Tensor
    conditions: Conditions | None = None


class Frame(NamedTuple):
    """The latents that a conditional model's residuals belong to: mean + scale * residual.

    Noise of amplitude s in a residual is noise of amplitude scale * s in the latents.

    mean: `b c h w`; scale: `c 1 1`; features: of the conditions, `b f`
    """

    mean: Tensor
    scale: Tensor
    features: Tensor
    conditions: Conditions

    def latents(self, residual: Tensor, *, signal: float = 1.0) -> Tensor:
        """Latents `b c h w` of residuals, for noisy ones with the signal's amplitude."""
        return signal * self.mean + self.scale * residual

    def residual(self, latents: Tensor, *, signal: float = 1.0) -> Tensor:
        """Inverse of `latents`."""
        return (latents - signal * self.mean) / self.scale
