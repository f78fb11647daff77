"""Constraints on single water columns, as energies of physical states.

Each term maps a `State` to one dimensionless energy per sample, `b`, differentiable in the state
and 0 where the constraint holds. Terms do not depend on how states are decoded. Constraints on
horizontal means are in `guidance.profiles`, observations in `guidance.observations`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.seawater import EquationOfState, freezing_temperature
from guidance.stratification import adjust, density_steps, wet_pairs
from guidance.term_settings import (
    NearestStableStateSettings,
    PhysicalBoundsSettings,
    UnstablePairsSettings,
)
from guidance.terms import (
    Ocean,
    Scales,
    check_levels,
    half_squares,
    level_weights,
)


class ColumnTerm:
    """A term whose energy is a weighted sum over cells or interfaces.

    A weight for each cell of a large grid would take gigabytes. Those of the levels are kept, and
    each call spreads them over the cells of its rows.
    """

    def __init__(self, grid: OceanGrid, scales: Sequence[Tensor]) -> None:
        """scales: of the distances, each `z` or `z-1`; 0 excludes a level or an interface."""
        self.grid = grid
        self._weights = level_weights(self.counted, scales)

    @property
    def counted(self) -> Tensor:
        """The cells that count, `z y x` bool, or the interfaces, `z-1 y x`."""
        return wet_tensor(self.grid)

    def part(self, rows: slice) -> Self:
        """The contribution of some rows to the energy, with the weights of the whole grid."""
        part = copy(self)
        part.grid = self.grid.part(rows)
        return part

    def _energy(self, *distances: Tensor) -> Tensor:
        """Half the weighted sum of squares of distances `b z y x` or `b z-1 y x`, per sample."""
        counted = self.counted.to(distances[0].device)
        weights = [
            counted * weight.to(distance)[:, None, None]
            for weight, distance in zip(self._weights, distances, strict=True)
        ]
        return half_squares(distances, weights)


class ProjectionTerm(ColumnTerm, ABC):
    """Half the mean squared distance of temperature and salinity to a projected state."""

    def __init__(self, grid: OceanGrid, scales: Scales) -> None:
        check_levels(grid, *scales)
        super().__init__(grid, scales)

    @abstractmethod
    def project(self, state: State) -> State:
        """The nearest state that satisfies the constraint, detached."""

    def __call__(self, state: State) -> Tensor:
        """The energy of each sample, `b`."""
        target = self.project(state)
        return self._energy(
            state.temperature - target.temperature, state.salinity - target.salinity
        )


class NearestStableState(ProjectionTerm):
    """Half the mean squared distance of a state to its nearest stable state.

    The target is `adjust(state)`, held fixed. Unstable layers are targeted at their mixture, so
    guidance makes them neutral and never adds stratification. Distances are in units of `scales`
    and averaged over the wet cells of temperature and salinity. They are not weighted by volume:
    cells count as in training, thick layers do not dominate thin ones, and a single Polyak step in
    data space reaches the target exactly.

    Energy of sample i: 1 / (2 N) sum_cells ((T - T_adj) / std_T)^2 + the same of S, N wet cells.
    """

    def __init__(
        self, grid: OceanGrid, eos: EquationOfState, scales: Scales, *, tolerance: float = 0.0
    ) -> None:
        """tolerance [kg/m3]: inversions up to this are accepted."""
        super().__init__(grid, scales)
        self.eos, self.tolerance = eos, tolerance

    def project(self, state: State) -> State:
        """The state after exact adjustment."""
        return adjust(
            state.map(Tensor.detach), eos=self.eos, grid=self.grid, tolerance=self.tolerance
        )


class UnstablePairs(ColumnTerm):
    """Half the mean squared inversion above a tolerance (a hinge on density steps).

    step_std: `z-1` [kg/m3], scale of the steps, for example their standard deviation in the data;
        0 excludes an interface
    tolerance: one value or `z-1` [kg/m3], accepted inversions, for example those in the data

    Energy of sample i: 1 / (2 N) sum_pairs (max(0, -step - tolerance) / std)^2, N wet pairs. The
    gradient takes the expansion coefficients as constants. The constraint stratifies unstable
    pairs, also in mixed layers, so `NearestStableState` should act first.
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
        self.eos = eos
        self._tolerance = torch.as_tensor(tolerance).expand(step_std.shape)[:, None, None]
        super().__init__(grid, [step_std])

    @property
    def counted(self) -> Tensor:
        """Interfaces between two wet cells, `z-1 y x` bool."""
        return wet_pairs(wet_tensor(self.grid))

    def __call__(self, state: State) -> Tensor:
        """The energy of each sample, `b`."""
        steps = density_steps(
            state,
            eos=self.eos,
            interface_depth=torch.from_numpy(self.grid.interface_depth),
            constant_slopes=True,
        )
        inversion = (-steps - self._tolerance.to(steps)).clamp(min=0)
        return self._energy(inversion)


class PhysicalBounds(ProjectionTerm):
    """Half the mean squared distance to the physical bounds: freezing point and salinity 0.

    Distances are scaled and averaged as in `NearestStableState`. The bound is the in-situ freezing
    point at the state's salinity, held fixed; temperature and salinity are not converted to in-situ
    temperature and practical salinity. Models without sea ice go below the freezing point.
    """

    def project(self, state: State) -> State:
        """The state with every wet cell inside the bounds; land stays 0."""
        state = state.map(Tensor.detach)
        salinity = state.salinity.clamp(min=0)
        depth = torch.from_numpy(self.grid.depth).to(salinity)[:, None, None]
        freezing = freezing_temperature(salinity, depth)
        wet = (self.counted & (self._weights[0] > 0)[:, None, None]).to(salinity.device)
        warm = torch.maximum(state.temperature, freezing)
        return State(torch.where(wet, warm, state.temperature), salinity, state.sea_level)


def nearest_stable_state(settings: NearestStableStateSettings, ocean: Ocean) -> NearestStableState:
    """The constraint for states of an ocean."""
    return NearestStableState(ocean.grid, ocean.eos, ocean.scales, tolerance=settings.tolerance)


def unstable_pairs(settings: UnstablePairsSettings, ocean: Ocean) -> UnstablePairs:
    """The constraint, with the inversions of the training states as tolerance."""
    statistics = ocean.climatology()
    return UnstablePairs(ocean.grid, ocean.eos, statistics.step_std, tolerance=statistics.tolerance)


def physical_bounds(settings: PhysicalBoundsSettings, ocean: Ocean) -> PhysicalBounds:
    """The constraint for states of an ocean."""
    return PhysicalBounds(ocean.grid, ocean.scales)
