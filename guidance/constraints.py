"""Energies that say how far a physical state is from what it ought to be, column by column.

Each term maps a `State` to one dimensionless energy per sample, `b`, differentiable in the state
and 0 where the constraint holds. A term knows nothing of how the state was decoded. Terms of
horizontal means are in `guidance.profiles`, observations in `guidance.observations`.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.seawater import EquationOfState, freezing_temperature
from guidance.stratification import adjust, density_steps, wet_pairs
from guidance.terms import (
    Ocean,
    Scales,
    TermSettings,
    cell_weights,
    check_levels,
    half_squares,
    inverse_square,
)


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
        self._weights = cell_weights(grid, scales)

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
        """The energy of each sample, `b`."""
        target = self.project(state)
        distances = (state.temperature - target.temperature, state.salinity - target.salinity)
        return half_squares(distances, self._weights)


class NearestStableStateSettings(TermSettings):
    """The state, exactly adjusted."""

    name: ClassVar = "nearest_stable_state"

    tolerance: float = Field(0.0, ge=0, description="inversions left alone [kg/m3]")

    def build(self, ocean: Ocean) -> NearestStableState:
        """The constraint for states of an ocean."""
        return NearestStableState(ocean.grid, ocean.eos, ocean.scales, tolerance=self.tolerance)


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
        """The energy of each sample, `b`."""
        steps = density_steps(
            state,
            eos=self.eos,
            interface_depth=torch.from_numpy(self.grid.interface_depth),
            constant_slopes=True,
        )
        inversion = (-steps - self._tolerance.to(steps)).clamp(min=0)
        return half_squares([inversion], [self._weights])


class UnstablePairsSettings(TermSettings):
    """A hinge on density steps; early in the chain or alone it stratifies mixed layers."""

    name: ClassVar = "unstable_pairs"

    def build(self, ocean: Ocean) -> UnstablePairs:
        """The constraint, with the training states' own inversions as tolerance."""
        known = ocean.climatology()
        return UnstablePairs(ocean.grid, ocean.eos, known.step_std, tolerance=known.tolerance)


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
        self._weights = cell_weights(grid, scales)

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
        """The energy of each sample, `b`."""
        target = self.project(state)
        distances = (state.temperature - target.temperature, state.salinity - target.salinity)
        return half_squares(distances, self._weights)


class PhysicalBoundsSettings(TermSettings):
    """Freezing point, and salinity 0."""

    name: ClassVar = "physical_bounds"

    def build(self, ocean: Ocean) -> PhysicalBounds:
        """The constraint for states of an ocean."""
        return PhysicalBounds(ocean.grid, ocean.scales)
