"""Ocean states on another grid: interpolated, or as means over the cells of a coarser one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from data.block_means import BlockMeans, check_units, no_common_water, shared_volumes
from data.errors import UserError
from data.grid import OceanGrid
from data.locate import Locator, unwrapped
from data.state import State

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

COARSER = 1.5  # ratio of the sides of cells from which a grid is the coarser of two
_HALF = 0.5  # of the area of a joined cell that must be wet for it to be wet


class Regridded(NamedTuple):
    """States on another grid, and what was lost on the way.

    filled: wet cells `z y x` of the new grid that have the value of the nearest other
    unseen: share of the wet volume of the old grid that is land in the new
    """

    state: State
    filled: BoolArray
    unseen: float


@dataclass(frozen=True)
class Regridding:
    """From a source grid to a target grid.

    Where the target's cells are 1.5 times as wide as the source's, or more, they have means;
    otherwise values are interpolated bilinearly between wet cells of a level, and linearly between
    levels. What neither gives has the nearest value of its level, else that of the level above.
    Raises `UserError` if one grid is in degrees and the other on a plane.
    """

    source: OceanGrid
    target: OceanGrid

    def __post_init__(self) -> None:
        check_units(self.source, self.target)

    @property
    def coarsens(self) -> bool:
        """Whether target cells are means."""
        return width(self.target) >= COARSER * width(self.source)

    def __call__(self, state: State) -> Regridded:
        """States `b` on the target grid. Raises `UserError` if the grids share no water."""
        known, temperature = self._fields(state.temperature)
        _, salinity = self._fields(state.salinity)
        if not known.any():
            raise no_common_water()
        sea_level = None
        if state.sea_level is not None:
            sea_level = self._surface_field(state.sea_level)
        return Regridded(
            State(self._fill(temperature, known), self._fill(salinity, known), sea_level),
            self.target.wet & ~known,
            self._unseen,
        )

    def _fields(self, fields: Tensor) -> tuple[BoolArray, Tensor]:
        """As `_field`, one state at a time: the corners of all cells take much memory."""
        parts = [self._field(fields[index : index + 1]) for index in range(len(fields))]
        return parts[0][0], torch.cat([new for _, new in parts])

    def _field(self, field: Tensor) -> tuple[BoolArray, Tensor]:
        """Which target cells have a value, `z y x`, and the values `b z y x`, 0 elsewhere."""
        return self._means(field) if self.coarsens else self._interpolated(field)

    def _means(self, field: Tensor) -> tuple[BoolArray, Tensor]:
        means = self._blocks
        new = torch.zeros(len(field), self.target.wet.size, dtype=torch.float64)
        new[:, torch.from_numpy(means.cells)] = means(field)
        known = np.zeros(self.target.wet.size, dtype=bool)
        known[means.cells] = True
        known = known.reshape(self.target.shape) & self.target.wet
        return known, new.view(-1, *self.target.shape).to(field) * torch.from_numpy(known)

    @cached_property
    def _blocks(self) -> BlockMeans:
        return BlockMeans.of(self.source, self.target)

    def _interpolated(self, field: Tensor) -> tuple[BoolArray, Tensor]:
        levels, rows, columns = self.source.shape
        corner, weight = self._corners
        flat = field.double().reshape(len(field), levels, rows * columns).numpy()
        across = np.einsum("znk, bznk -> bzn", weight, flat[:, :, corner])
        known = weight.sum(axis=2) > 0
        below, fraction = self._between
        # Below the last centre with water the value of a column is constant, down to its floor.
        has_lower = known[below]
        share = np.where(has_lower, fraction[:, None], 0.0)
        new = across[:, below - 1] * (1 - share) + across[:, below] * share
        wet = self.target.wet.reshape(len(below), -1)
        floor = np.where(has_lower, self.source.faces[below + 1][:, None], self._face(below))
        valid = wet & known[below - 1] & (self.target.depth[:, None] <= floor)
        new = torch.from_numpy(np.where(valid, new, 0.0)).to(field)
        return valid.reshape(self.target.shape), new.view(len(field), *self.target.shape)

    def _face(self, below: IntArray) -> FloatArray:
        """Depth of the face above each source level `z`, as a column `z 1` [m]."""
        return self.source.faces[below][:, None]

    @cached_property
    def _corners(self) -> tuple[IntArray, FloatArray]:
        """Columns `n 4` of the source about each target column, and weights `z n 4` of the wet."""
        levels, _, columns = self.source.shape
        x, y = self.target.positions
        found = Locator(self.source).corners(x.ravel(), y.ravel())
        corner = found.row * columns + found.column
        wet = self.source.wet.reshape(levels, -1)[:, corner]
        weight = found.weight * wet
        total = weight.sum(axis=2, keepdims=True)
        return corner, np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)

    @cached_property
    def _between(self) -> tuple[IntArray, FloatArray]:
        """Of each target level: the source level below, and the weight of that level, both `z`."""
        centres = self.source.depth
        if len(centres) == 1:
            raise UserError(
                "the states to regrid have one level: expected a three-dimensional ocean state"
            )
        within = self.target.depth.clip(centres[0], centres[-1])
        below = np.searchsorted(centres, within).clip(1, len(centres) - 1)
        fraction = (within - centres[below - 1]) / (centres[below] - centres[below - 1])
        return below, fraction

    def _surface_field(self, field: Tensor) -> Tensor:
        """Sea level `b y x` on the target grid."""
        surface = Regridding(_one_level(self.source), _one_level(self.target))
        known, new = surface._across(field)
        if not known.any():
            raise no_common_water()
        filled: Tensor = surface._fill(new[:, None], known[None])[:, 0]
        return filled

    def _across(self, field: Tensor) -> tuple[BoolArray, Tensor]:
        """A field `b y x`, known where `y x`."""
        if self.coarsens:
            known, new = self._means(field[:, None])
            return known[0], new[:, 0]
        corner, weight = self._corners
        flat = field.double().flatten(1).numpy()
        across = np.einsum("nk, bnk -> bn", weight[0], flat[:, corner])
        shape = self.target.shape[1:]
        known = (weight[0].sum(axis=1) > 0).reshape(shape) & self.target.wet[0]
        return known, torch.from_numpy(across).to(field).view(-1, *shape) * torch.from_numpy(known)

    def _fill(self, field: Tensor, known: BoolArray) -> Tensor:
        """The field with a value in every wet cell."""
        filled, levels = field.clone(), self.target.shape[0]
        places = Locator(self.target).in_space(*(z.ravel() for z in self.target.positions))
        for level in range(levels):
            gaps = np.flatnonzero(self.target.wet[level] & ~known[level])
            have = np.flatnonzero(known[level])
            if not gaps.size:
                continue
            if have.size:
                nearest = have[cKDTree(places[have]).query(places[gaps])[1]]
                source = filled[:, level].flatten(1)[:, nearest]
            else:
                source = filled[:, level - 1].flatten(1)[:, gaps]
            row, column = np.unravel_index(gaps, self.target.shape[1:])
            filled[:, level, row, column] = source
        return filled

    @cached_property
    def _unseen(self) -> float:
        """Share of the source's wet volume that is land in the target."""
        coarse_first = width(self.source) > width(self.target)
        fine, coarse = (self.target, self.source) if coarse_first else (self.source, self.target)
        cell, other, volume = shared_volumes(fine, coarse)
        wet = fine.wet.ravel()[other] & coarse.wet.ravel()[cell]
        return float(1 - min(volume[wet].sum() / self.source.volume.sum(), 1.0))


def width(grid: OceanGrid) -> float:
    """Typical side of the grid's wet cells [m]."""
    return float(np.sqrt(np.median(grid.area[grid.wet.any(axis=0)])))


def coarsened(grid: OceanGrid, factor: int) -> OceanGrid:
    """The grid whose cells are `factor` by `factor` cells of another.

    Fewer at the end of an axis whose length is no multiple. A cell is wet if half of its area is,
    down to the floor of its deepest column.
    """

    def joined(field: FloatArray, join: np.ufunc) -> FloatArray:
        for axis in {-1, -min(field.ndim, 2)}:
            starts = np.arange(0, field.shape[axis], factor)
            field = join.reduceat(field, starts, axis=axis)
        return field

    def mean(field: FloatArray) -> FloatArray:
        return joined(field, np.add) / joined(np.ones_like(field), np.add)

    area = joined(grid.area, np.add)
    wet = joined(grid.area * grid.wet, np.add) >= _HALF * area
    thickness = joined(np.where(grid.wet, grid.thickness, 0.0), np.maximum)
    return replace(
        grid,
        thickness=np.where(wet, thickness, np.diff(grid.faces)[:, None, None]),
        area=area,
        wet=wet,
        longitude=mean(unwrapped(grid)),
        latitude=mean(grid.latitude),
        level_faces=grid.faces,
    )


def _one_level(grid: OceanGrid) -> OceanGrid:
    """The surface of a grid, whatever the thickness of its first level."""
    return replace(
        grid,
        depth=np.array([0.5]),
        thickness=np.ones_like(grid.thickness[:1]),
        wet=grid.wet[:1],
        level_faces=np.array([0.0, 1.0]),
    )
