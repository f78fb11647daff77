"""Means of a fine grid's states over the cells of a coarse one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid
from data.locate import Locator, unwrapped

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_INSIDE = 0.2  # least sum of bilinear weights of a position in the outermost cells of a grid
_LEAST = 0.25  # of a coarse cell's volume that must be water of the fine grid for it to have a mean


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
        """Of two grids. Raises `UserError` if they share no water, or not their units."""
        check_units(fine, coarse)
        cell, source, volume = shared_volumes(fine, coarse)
        total = np.bincount(cell, volume, minlength=coarse.wet.size).astype(np.float64)
        own = coarse.volume.ravel()
        covered = np.divide(total, own, out=np.zeros_like(total), where=own > 0)
        kept = np.flatnonzero(covered >= _LEAST)
        if not kept.size:
            raise no_common_water()
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


def no_common_water() -> UserError:
    """Two grids do not meet."""
    return UserError(
        "the two grids have no water in common: expected states of the same ocean; check "
        "longitudes and latitudes"
    )


def check_units(source: OceanGrid, target: OceanGrid) -> None:
    """Raise `UserError` if one grid is in degrees and the other on a plane."""
    if source.horizontal_units != target.horizontal_units:
        raise UserError(
            f"the states have positions in {source.horizontal_units}, the model's grid is in "
            f"{target.horizontal_units}: expected the same; convert the positions"
        )


def shared_volumes(fine: OceanGrid, coarse: OceanGrid) -> tuple[IntArray, IntArray, FloatArray]:
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
    period = _common_period(fine, coarse)
    x = _shares(*(unwrapped(grid) for grid in (fine, coarse)), period=period)
    y = _shares(fine.latitude, coarse.latitude)
    (ys, yf), (xs, xf) = np.nonzero(y), np.nonzero(x)
    return Columns(
        (ys[:, None] * coarse.shape[2] + xs).ravel(),
        (yf[:, None] * fine.shape[2] + xf).ravel(),
        (y[ys, yf][:, None] * x[xs, xf]).ravel(),
    )


def _common_period(fine: OceanGrid, coarse: OceanGrid) -> float:
    """After which positions repeat on both grids; 0: never. A sector may close on itself."""
    own, other = (Locator(grid).period for grid in (fine, coarse))
    if np.isfinite(own) and np.isclose(own, other):
        return own
    return 360.0 if fine.horizontal_units == "degrees" else 0.0


def _shares(fine: FloatArray, coarse: FloatArray, *, period: float = 0.0) -> FloatArray:
    """Share of each fine cell in each coarse one along an axis, `coarse fine`.

    period: after which positions repeat; 0: never
    """
    length = len(fine) * (np.ptp(fine) / (len(fine) - 1) if len(fine) > 1 else 1.0)
    (low, high), (left, right) = _sides(coarse, length), _sides(fine, length)
    shares = np.zeros((len(coarse), len(fine)))
    for shift in (-period, 0.0, period) if period else (0.0,):
        overlap = np.minimum(high[:, None], right + shift) - np.maximum(low[:, None], left + shift)
        shares += overlap.clip(0, None) / (right - left)
    return shares.clip(max=1)


def _sides(centres: FloatArray, whole: float) -> tuple[FloatArray, FloatArray]:
    """Lower and upper sides of the cells about increasing or decreasing centres.

    whole: length of the axis, which tells the width of a single cell
    """
    if len(centres) == 1:
        return centres - 0.5 * whole, centres + 0.5 * whole
    middle = 0.5 * (centres[1:] + centres[:-1])
    edges = np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
    sides = np.stack([edges[:-1], edges[1:]])
    return sides.min(axis=0), sides.max(axis=0)
