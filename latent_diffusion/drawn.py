"""What a chain of the pipeline belongs to, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from diffusers.utils import BaseOutput
from torch import Tensor

from autoencoder.codec import Codec
from data.conditions import Conditions
from data.dataset import states_dataset
from data.plausibility import Door, check_state
from data.state import State
from guidance.seawater import equation_of_state
from guidance.stratification import adjust

ADVICE = (
    "the chain did not converge or the model is not trained; take more steps or another scheduler"
)


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


def dataset_of(
    drawn: Sequence[StatePipelineOutput],
    codec: Codec,
    *,
    adjusted: bool,
    attributes: Mapping[str, object],
) -> xr.Dataset:
    """All states as a dataset, see `data.dataset`; adjusted: after convective adjustment.

    attributes: of the dataset. Raises `UserError` for states that are no sea water.
    """
    state = State.cat([output.state for output in drawn]).map(Tensor.cpu)
    grid, equation = codec.grid, codec.config.ocean["equation_of_state"]
    check_state(state, door=Door(grid, "the ensemble", ADVICE), numbers=range(len(state)))
    if adjusted:
        state = adjust(state, eos=equation_of_state(equation), grid=grid)
    given = [output.conditions for output in drawn if output.conditions is not None]
    return states_dataset(
        state,
        grid=grid,
        equation_of_state=equation,
        conditions=_joined_values(given),
        units=given[0].units if given else {},
        attributes=attributes,
    )


def _joined_values(parts: Sequence[Conditions]) -> dict[str, np.ndarray]:
    """The values of all parts by name, each `b`; empty without parts."""
    names = parts[0].values if parts else []
    return {name: np.concatenate([part.values[name] for part in parts]) for name in names}
