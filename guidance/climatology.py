"""What constraints need to know of true states beyond the means that a codec holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.profiles import HorizontalMean
from guidance.seawater import EquationOfState
from guidance.stratification import density_steps, wet_pairs

TOLERATED = 0.999  # share of a level's pairs whose inversions count as the data's own


@dataclass(frozen=True)
class Climatology:
    """Statistics of true states, on levels `z` or interfaces `z-1`; 0 where nothing is wet.

    density, density_std: horizontal-mean potential density, referenced to the surface, and the
        spread of single cells about their own mean over time [kg/m3]
    step_std: spread of locally referenced density steps likewise [kg/m3]
    tolerance: inversion [kg/m3] that 99.9 % of a state's pairs of that interface stay below
    temperature, salinity: volume mean and its standard deviation over the states
    """

    density: Tensor
    density_std: Tensor
    step_std: Tensor
    tolerance: Tensor
    temperature: tuple[float, float]
    salinity: tuple[float, float]

    def as_dict(self) -> dict[str, list[float]]:
        """Plain numbers, to be saved."""
        return {
            field.name: torch.as_tensor(getattr(self, field.name), dtype=torch.float64).tolist()
            for field in fields(self)
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Sequence[float]]) -> Climatology:
        """The inverse of `as_dict`."""
        profiles = ("density", "density_std", "step_std", "tolerance")
        temperature, salinity = ((saved[k][0], saved[k][1]) for k in ("temperature", "salinity"))
        values = {name: torch.tensor(saved[name], dtype=torch.float64) for name in profiles}
        return cls(**values, temperature=temperature, salinity=salinity)


@torch.no_grad()
def climatology(states: Iterable[State], *, grid: OceanGrid, eos: EquationOfState) -> Climatology:
    """The climatology of states that are given one by one, or in batches; two at least."""
    wet, interface_depth = wet_tensor(grid), torch.from_numpy(grid.interface_depth)
    pairs = wet_pairs(wet)
    volume = torch.from_numpy(grid.thickness * grid.area) * wet
    density, steps = _Moments(), _Moments()
    tolerances, means = [], []
    for state in (one for batch in states for one in batch.map(Tensor.double).split(1)):
        step = density_steps(state, eos=eos, interface_depth=interface_depth)[0]
        density.add(eos.density(state.temperature, state.salinity, 0.0)[0] * wet)
        steps.add(step * pairs)
        tolerances.append(_tolerance(step, pairs))
        means.append([(volume * field[0]).sum() / volume.sum() for field in _tracers(state)])
    if len(means) < 2:
        raise UserError(f"Guidance by the data's statistics needs 2 states; there are {len(means)}")
    volume_means = torch.tensor(means)
    (temperature, salinity), (temperature_std, salinity_std) = (
        volume_means.mean(0).tolist(),
        volume_means.std(0).tolist(),
    )
    return Climatology(
        density=HorizontalMean(grid, per="sample")(density.mean[None])[0],
        density_std=_level_spread(density, wet),
        step_std=_level_spread(steps, pairs),
        tolerance=torch.stack(tolerances).mean(0),
        temperature=(temperature, temperature_std),
        salinity=(salinity, salinity_std),
    )


class _Moments:
    """Mean and sum of squared deviations of fields, one at a time (Welford 1962)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(1), torch.zeros(1)

    def add(self, field: Tensor) -> None:
        self.count += 1
        change = field - self.mean
        self.mean = self.mean + change / self.count
        self.squares = self.squares + change * (field - self.mean)


def _tracers(state: State) -> tuple[Tensor, Tensor]:
    return state.temperature, state.salinity


def _level_spread(moments: _Moments, wet: Tensor) -> Tensor:
    """Root of the mean variance over the wet places of each level, `z`."""
    variance = (moments.squares / moments.count * wet).sum((1, 2))
    return (variance / wet.sum((1, 2)).clamp(min=1)).sqrt()


def _tolerance(step: Tensor, pairs: Tensor) -> Tensor:
    """What `TOLERATED` of the inversions `z-1 y x` of each interface stay below, `z-1`."""
    inversions = (-step).clamp(min=0)
    return torch.stack(
        [
            level[wet].quantile(TOLERATED) if wet.any() else level.new_zeros(())
            for level, wet in zip(inversions, pairs, strict=True)
        ]
    )
