"""Energies that say how far a physical state is from what it ought to be.

Each term maps a `State` to one dimensionless energy per sample, `b`, differentiable in the state
and 0 where the constraint holds. A term knows nothing of how the state was decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.seawater import EquationOfState
from guidance.stratification import adjust


class Term(Protocol):
    """A constraint's energy: `State` of batch b to `b`, least and 0 where the constraint holds."""

    def __call__(self, state: State) -> Tensor: ...


@runtime_checkable
class LocalTerm(Term, Protocol):
    """A term whose energy is a sum over cells or columns, so that it can be had in strips."""

    def part(self, rows: slice) -> Term:
        """The share of some rows in the energy: `State` of these rows to `b`."""
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
        _check_levels(grid, *scales)
        self.grid, self.eos, self.tolerance = grid, eos, tolerance
        wet = wet_tensor(grid)
        self._weights = [
            wet * _inverse_square(scale)[:, None, None] / wet.sum() for scale in scales
        ]

    def part(self, rows: slice) -> NearestStableState:
        """The share of some rows in the energy: N stays the number of all wet cells."""
        part = copy(self)
        part.grid = self.grid.part(rows)
        part._weights = [weights[:, rows] for weights in self._weights]
        return part

    def __call__(self, state: State) -> Tensor:
        target = adjust(
            state.map(Tensor.detach), eos=self.eos, grid=self.grid, tolerance=self.tolerance
        )
        distances = (state.temperature - target.temperature, state.salinity - target.salinity)
        return _half_squares(distances, self._weights)


class MeanProfile:
    """Half the mean squared distance of the horizontal-mean T and S profiles to given ones.

    The "hydrostatic" constraint of Meunier et al. 2025 (arXiv 2502.02499, eq. 2), acting on the
    clean estimate; means are weighted by wet area, distances in units of `scales`, averaged over
    all wet cells (so that one Polyak step in data space shifts every level by its error).
    `per="sample"` is the paper's and costs variance, for real states differ in their mean
    profile; `per="ensemble"` constrains the mean of the batch alone: every sample is given the
    batch's energy, so all are shifted alike and their spread stays.
    """

    def __init__(
        self,
        grid: OceanGrid,
        temperature: Tensor,
        salinity: Tensor,
        scales: Scales,
        *,
        per: Literal["sample", "ensemble"] = "ensemble",
    ) -> None:
        """temperature `z` [degC] and salinity `z`: the training states' mean profiles."""
        _check_levels(grid, temperature, salinity, *scales)
        if per not in ("sample", "ensemble"):
            raise UserError(f"The mean profile is per {per!r}; write 'sample' or 'ensemble'.")
        self.per = per
        self._profiles = (temperature, salinity)
        area = torch.from_numpy(grid.area) * wet_tensor(grid)
        self._share = area / area.sum((1, 2), keepdim=True).clamp(min=torch.finfo().tiny)
        cells = wet_tensor(grid).sum((1, 2))
        self._weights = [cells * _inverse_square(scale) / cells.sum() for scale in scales]

    def __call__(self, state: State) -> Tensor:
        fields = (state.temperature, state.salinity)
        errors = [
            self._mean(field) - profile.to(field)
            for field, profile in zip(fields, self._profiles, strict=True)
        ]
        return _half_squares(errors, self._weights)

    def _mean(self, field: Tensor) -> Tensor:
        """Horizontal means `b z` of a field `b z y x`; all rows the same for the ensemble."""
        means = (self._share.to(field) * field).sum((2, 3))
        return means if self.per == "sample" else means.mean(0, keepdim=True).expand_as(means)


def _half_squares(distances: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Half the weighted sum of squares of all distances `b ...`, per sample `b`."""
    squares = [
        (weight.to(distance) * distance**2).flatten(1).sum(1)
        for distance, weight in zip(distances, weights, strict=True)
    ]
    return 0.5 * torch.stack(squares).sum(0)


def _inverse_square(scale: Tensor) -> Tensor:
    """1 / scale^2 in float64, 0 where the scale is 0."""
    scale = scale.detach().cpu().double()
    return torch.where(scale > 0, 1 / scale.clamp(min=1e-30) ** 2, 0.0)


def _check_levels(grid: OceanGrid, *profiles: Tensor) -> None:
    levels = grid.shape[0]
    for profile in profiles:
        if profile.shape != (levels,):
            raise UserError(
                f"A constraint was given values of shape {tuple(profile.shape)}, but the grid has "
                f"{levels} levels; give one value per level, surface first."
            )
