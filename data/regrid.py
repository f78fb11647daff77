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

from data.errors import UserError
from data.grid import OceanGrid
from data.locate import Locator
from data.state import State

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

COARSER = 1.5  # ratio of the sides of cells from which a grid is the coarser of two
_INSIDE = 0.2  # least sum of bilinear weights of a position in the outermost cells of a grid
_LEAST = 0.25  # of a coarse cell's volume that must be water of the fine grid for it to have a mean
_HALF = 0.5  # of the area of a joined cell that must be wet for it to be wet


class Columns(NamedTuple):
    """Which columns of a fine grid lie in which columns of a coarse one, `e` pairs.

    coarse, fine: numbers of the columns in `y x`; share: of the fine column's area in the coarse
    """

    coarse: IntArray
    fine: IntArray
    share: FloatArray


@dataclass(frozen=True)
class BlockMeans:
    """Means of a fine grid's states over the wet cells of a coarse grid, by volume.

    Partial cells count with the part of their thickness within the coarse cell. On regular grids a
    column is shared between the cells that it overlaps, on others it belongs to the nearest.

    cells: number in `z y x` of the coarse cells that have a mean, `n`
    entry, source, weight: of fine cells (number in `z y x`) in these means, `k`; weights sum to 1
    covered: share of each coarse cell's volume that is water of the fine grid, `z y x`
    """

    fine: OceanGrid
    coarse: OceanGrid
    cells: IntArray
    entry: Tensor
    source: Tensor
    weight: Tensor
    covered: FloatArray

    @classmethod
    def of(cls, fine: OceanGrid, coarse: OceanGrid) -> BlockMeans:
        """Of two grids. Raises `UserError` if one is in degrees and the other on a plane."""
        check_units(fine, coarse)
        cell, source, volume = _shared_volumes(fine, coarse)
        total = np.bincount(cell, volume, minlength=coarse.wet.size)
        own = coarse.volume.ravel()
        covered = np.divide(total, own, out=np.zeros_like(total), where=own > 0)
        kept = np.flatnonzero(covered >= _LEAST)
        number = np.full(coarse.wet.size, -1)
        number[kept] = np.arange(len(kept))
        inside = number[cell] >= 0
        cell, source, volume = cell[inside], source[inside], volume[inside]
        entry, weight = number[cell], volume / total[cell]
        return cls(
            fine,
            coarse,
            kept,
            torch.from_numpy(entry),
            torch.from_numpy(source),
            torch.from_numpy(weight),
            covered.clip(max=1).reshape(coarse.shape),
        )

    def __call__(self, field: Tensor) -> Tensor:
        """Means `b n`, in double precision, of fields `b z y x`; differentiable."""
        values = field.flatten(1)[:, self.source.to(field.device)].double()
        means = torch.zeros(len(field), len(self.cells), dtype=torch.float64, device=field.device)
        weighted = values * self.weight.to(field.device)
        return means.index_add(1, self.entry.to(field.device), weighted)


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
        known, temperature = self._field(state.temperature)
        _, salinity = self._field(state.salinity)
        if not known.any():
            raise UserError(
                "the two grids have no water in common: expected states of the same ocean; check "
                "longitudes and latitudes"
            )
        sea_level = None
        if state.sea_level is not None:
            sea_level = self._surface_field(state.sea_level)
        return Regridded(
            State(self._fill(temperature, known), self._fill(salinity, known), sea_level),
            self.target.wet & ~known,
            self._unseen,
        )

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
        # A column ends at its floor: below the last centre with water its value is constant.
        has_lower = known[below]
        share = np.where(has_lower, fraction[:, None], 0.0)
        new = across[:, below - 1] * (1 - share) + across[:, below] * share
        wet = self.target.wet.reshape(len(below), -1)
        valid = wet & known[below - 1] & (has_lower | self._reaches(known, below))
        new = torch.from_numpy(np.where(valid, new, 0.0)).to(field)
        return valid.reshape(self.target.shape), new.view(len(field), *self.target.shape)

    def _reaches(self, known: BoolArray, below: IntArray) -> BoolArray:
        """Whether the source's water reaches a target cell below its last centre, `z n`."""
        faces = self.source.faces
        return known[below - 1] & (self.target.depth <= faces[below])[:, None]

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
        cell, other, volume = _shared_volumes(fine, coarse)
        wet = fine.wet.ravel()[other] & coarse.wet.ravel()[cell]
        return float(1 - min(volume[wet].sum() / self.source.volume.sum(), 1.0))


def width(grid: OceanGrid) -> float:
    """Typical side of the grid's wet cells [m]."""
    return float(np.sqrt(np.median(grid.area[grid.wet.any(axis=0)])))


def check_units(source: OceanGrid, target: OceanGrid) -> None:
    """Raise `UserError` if one grid is in degrees and the other on a plane."""
    if source.horizontal_units != target.horizontal_units:
        raise UserError(
            f"the states have positions in {source.horizontal_units}, the model's grid is in "
            f"{target.horizontal_units}: expected the same; convert the positions"
        )


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
        longitude=mean(grid.longitude),
        latitude=mean(grid.latitude),
        level_faces=grid.faces,
    )


def _shared_volumes(fine: OceanGrid, coarse: OceanGrid) -> tuple[IntArray, IntArray, FloatArray]:
    """Cells of both grids, as numbers in `z y x`, that share water of the fine one [m3], `k` each.

    Coarse cells may be land.
    """
    columns = columns_within(fine, coarse)
    top, bottom = _extents(fine, columns.fine)
    wet = fine.wet.reshape(fine.shape[0], -1)[:, columns.fine]
    area = columns.share * fine.area.ravel()[columns.fine]
    upper, lower = _extents(coarse, columns.coarse)
    faces = coarse.faces
    parts = []
    for level in range(coarse.shape[0]):
        first = np.searchsorted(fine.faces, faces[level], side="right") - 1
        last = np.searchsorted(fine.faces, faces[level + 1], side="left")
        some = slice(max(first, 0), last)
        overlap = np.minimum(bottom[some], lower[level]) - np.maximum(top[some], upper[level])
        volume = overlap.clip(0, None) * wet[some] * area
        step, pair = np.nonzero(volume)
        cell = level * coarse.area.size + columns.coarse[pair]
        source = (some.start + step) * fine.area.size + columns.fine[pair]
        parts.append((cell, source, volume[step, pair]))
    cell, source, volume = (np.concatenate(column) for column in zip(*parts, strict=True))
    return cell, source, volume


def _extents(grid: OceanGrid, columns: IntArray) -> tuple[FloatArray, FloatArray]:
    """Depth of top and bottom of the cells of some columns, `z e` [m].

    Layers begin at their nominal faces; a partial cell ends above its own.
    """
    levels = grid.shape[0]
    top = np.broadcast_to(grid.faces[:-1, None], (levels, len(columns)))
    nominal = np.diff(grid.faces)[:, None]
    thickness = np.minimum(grid.thickness.reshape(levels, -1)[:, columns], nominal)
    return top, top + thickness


def columns_within(fine: OceanGrid, coarse: OceanGrid) -> Columns:
    """Which columns of `fine` lie in which columns of `coarse`."""
    if fine.longitude.ndim == coarse.longitude.ndim == 1:
        return _regular(fine, coarse)
    x, y = fine.positions
    locator = Locator(coarse)
    inside = locator.corners(x.ravel(), y.ravel()).weight.sum(axis=1) > _INSIDE
    found = np.flatnonzero(inside)
    nearest = locator.nearest(x.ravel()[found], y.ravel()[found])
    flat = nearest[:, 0] * coarse.shape[2] + nearest[:, 1]
    return Columns(flat, found, np.ones(len(found)))


def _regular(fine: OceanGrid, coarse: OceanGrid) -> Columns:
    period = 360.0 if fine.horizontal_units == "degrees" else 0.0
    x = _shares(fine.longitude, coarse.longitude, period=period)
    y = _shares(fine.latitude, coarse.latitude)
    (ys, yf), (xs, xf) = np.nonzero(y), np.nonzero(x)
    return Columns(
        (ys[:, None] * coarse.shape[2] + xs).ravel(),
        (yf[:, None] * fine.shape[2] + xf).ravel(),
        (y[ys, yf][:, None] * x[xs, xf]).ravel(),
    )


def _shares(fine: FloatArray, coarse: FloatArray, *, period: float = 0.0) -> FloatArray:
    """Share of each fine cell in each coarse one along an axis, `coarse fine`.

    period: after which positions repeat; 0: never
    """
    (low, high), (left, right) = _sides(coarse), _sides(fine)
    shares = np.zeros((len(coarse), len(fine)))
    for shift in (-period, 0.0, period) if period else (0.0,):
        overlap = np.minimum(high[:, None], right + shift) - np.maximum(low[:, None], left + shift)
        shares += overlap.clip(0, None) / (right - left)
    return shares.clip(max=1)


def _sides(centres: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper sides of the cells about increasing or decreasing centres."""
    if len(centres) == 1:
        return centres - 0.5, centres + 0.5
    middle = 0.5 * (centres[1:] + centres[:-1])
    edges = np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
    sides = np.stack([edges[:-1], edges[1:]])
    return sides.min(axis=0), sides.max(axis=0)


def _one_level(grid: OceanGrid) -> OceanGrid:
    """The surface of a grid."""
    return replace(
        grid,
        depth=grid.depth[:1],
        thickness=grid.thickness[:1],
        wet=grid.wet[:1],
        level_faces=grid.faces[:2],
    )
