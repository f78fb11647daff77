"""Energies that say how far a physical state is from what it ought to be.

Each term maps a `State` to one dimensionless energy per sample, `b`, differentiable in the state
and 0 where the constraint holds. A term knows nothing of how the state was decoded. Terms of
horizontal means are in `guidance.profiles`, observations in `guidance.observations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.seawater import EquationOfState, freezing_temperature
from guidance.stratification import adjust, density_steps, wet_pairs


class Term(Protocol):
    """A constraint's energy: `State` of batch b to `b`, least and 0 where the constraint holds."""

    def __call__(self, state: State) -> Tensor: ...


@runtime_checkable
class LocalTerm(Term, Protocol):
    """A term whose energy is a sum over cells or columns, so that it can be had in strips."""

    def part(self, rows: slice) -> Term:
        """The share of some rows in the energy: `State` of these rows to `b`."""
        ...


@runtime_checkable
class Projection(Term, Protocol):
    """A term that knows the nearest state at which its energy vanishes."""

    def project(self, state: State) -> State:
        """The nearest state that holds the constraint; carries no gradient."""
        ...


class Scales(NamedTuple):
    """Standard deviation of the anomalies of each level: the units in which errors count.

    temperature: `z` [K]; salinity: `z` [1e-3 or g/kg]. A level without spread, such as one
    without wet cells, has 0 and is left out.
    """

    temperature: Tensor
    salinity: Tensor

    @classmethod
    def from_channels(cls, std: Tensor, *, levels: int) -> Scales:
        """From `c` in the order of `State.to_channels`; a sea level channel is left out."""
        return cls(std[:levels], std[levels : 2 * levels])


class NearestStableState:
    """Half the mean squared distance of a state to its own nearest stable state.

    The target is `adjust(state)`, held fixed: where neighbours would overturn it is their mixture,
    so the pull is towards neutral, never towards a stratification that was not there. Distances
    are in units of `scales`, averaged over all wet cells of temperature and salinity alike (not
    by volume: in these units a cell counts as it does in training, shallow layers are not drowned
    by thick ones, and one Polyak step in data space lands on the target exactly).

    Energy of sample i: 1 / (2 N) sum_cells ((T - T_adj) / std_T)^2 + the same of S, N wet cells.
    """

    def __init__(
        self, grid: OceanGrid, eos: EquationOfState, scales: Scales, *, tolerance: float = 0.0
    ) -> None:
        """tolerance [kg/m3]: inversions up to this are left alone."""
        check_levels(grid, *scales)
        self.grid, self.eos, self.tolerance = grid, eos, tolerance
        self._weights = _cell_weights(grid, scales)

    def part(self, rows: slice) -> NearestStableState:
        """The share of some rows in the energy: N stays the number of all wet cells."""
        part = copy(self)
        part.grid = self.grid.part(rows)
        part._weights = [weights[:, rows] for weights in self._weights]
        return part

    def project(self, state: State) -> State:
        """The state after exact adjustment."""
        return adjust(
            state.map(Tensor.detach), eos=self.eos, grid=self.grid, tolerance=self.tolerance
        )

    def __call__(self, state: State) -> Tensor:
        target = self.project(state)
        distances = (state.temperature - target.temperature, state.salinity - target.salinity)
        return half_squares(distances, self._weights)


class UnstablePairs:
    """Half the mean square of what density steps lie below a tolerance (a hinge).

    step_std: `z-1` [kg/m3], the units in which steps count, for instance their spread in the data;
        0 leaves an interface out
    tolerance: [kg/m3], or `z-1` of them: inversions up to this, such as the data have themselves,
        cost nothing

    Energy of sample i: 1 / (2 N) sum_pairs (max(0, -step - tolerance) / std)^2, N wet pairs. Its
    gradient takes the expansion coefficients as constants. It makes a pair stable by stratifying
    it, also where a mixed layer should be, so `NearestStableState` should have acted before it.
    """

    def __init__(
        self,
        grid: OceanGrid,
        eos: EquationOfState,
        step_std: Tensor,
        *,
        tolerance: Tensor | float = 0.0,
    ) -> None:
        check_levels(grid, step_std, below=1)
        self.grid, self.eos = grid, eos
        self._tolerance = torch.as_tensor(tolerance).expand(step_std.shape)[:, None, None]
        pairs = wet_pairs(wet_tensor(grid))
        self._weights = pairs * inverse_square(step_std)[:, None, None] / pairs.sum()

    def part(self, rows: slice) -> UnstablePairs:
        """The share of some rows in the energy: N stays the number of all wet pairs."""
        part = copy(self)
        part.grid = self.grid.part(rows)
        part._weights = self._weights[:, rows]
        return part

    def __call__(self, state: State) -> Tensor:
        steps = density_steps(
            state,
            eos=self.eos,
            interface_depth=torch.from_numpy(self.grid.interface_depth),
            constant_slopes=True,
        )
        inversion = (-steps - self._tolerance.to(steps)).clamp(min=0)
        return half_squares([inversion], [self._weights])


class PhysicalBounds:
    """Half the mean squared distance to water that can be: not below freezing, no negative salt.

    The freezing point is that of the state's own salinity, held fixed; distances are in units of
    `scales`, averaged as those of `NearestStableState`. It is the in-situ freezing point of
    practical salinity, whatever temperature and salinity the state has; models without sea ice
    fall below it themselves.
    """

    def __init__(self, grid: OceanGrid, scales: Scales) -> None:
        check_levels(grid, *scales)
        self._depth = torch.from_numpy(grid.depth)[:, None, None]
        self._weights = _cell_weights(grid, scales)

    def part(self, rows: slice) -> PhysicalBounds:
        """The share of some rows in the energy: N stays the number of all wet cells."""
        part = copy(self)
        part._weights = [weights[:, rows] for weights in self._weights]
        return part

    def project(self, state: State) -> State:
        """The state with every cell inside the bounds; land, which is 0, stays 0."""
        state = state.map(Tensor.detach)
        salinity = state.salinity.clamp(min=0)
        freezing = freezing_temperature(salinity, self._depth.to(salinity))
        wet = self._weights[0].to(salinity.device) > 0
        warm = torch.maximum(state.temperature, freezing)
        return State(torch.where(wet, warm, state.temperature), salinity, state.sea_level)

    def __call__(self, state: State) -> Tensor:
        target = self.project(state)
        distances = (state.temperature - target.temperature, state.salinity - target.salinity)
        return half_squares(distances, self._weights)


def half_squares(distances: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Half the weighted sum of squares of all distances `b ...`, per sample `b`."""
    squares = [
        (weight.to(distance) * distance**2).flatten(1).sum(1)
        for distance, weight in zip(distances, weights, strict=True)
    ]
    return 0.5 * torch.stack(squares).sum(0)


def inverse_square(scale: Tensor) -> Tensor:
    """1 / scale^2 in float64, 0 where the scale is 0."""
    scale = scale.detach().cpu().double()
    return torch.where(scale > 0, 1 / scale.clamp(min=1e-30) ** 2, 0.0)


def check_levels(grid: OceanGrid, *profiles: Tensor, below: int = 0) -> None:
    """Raises UserError unless each profile has a value for each level, or `below` fewer."""
    levels = grid.shape[0] - below
    for profile in profiles:
        if profile.shape != (levels,):
            places = "interface" if below else "level"
            raise UserError(
                f"A constraint was given values of shape {tuple(profile.shape)}, but the grid has "
                f"{levels} {places}s; give one value per {places}, surface first."
            )


def _cell_weights(grid: OceanGrid, scales: Scales) -> list[Tensor]:
    """Weight of each cell's squared distance, `z y x` for temperature and salinity."""
    wet = wet_tensor(grid)
    return [wet * inverse_square(scale)[:, None, None] / wet.sum() for scale in scales]
