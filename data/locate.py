"""Where positions lie among the cells of a grid: cells and weights of bilinear interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from data.grid import OceanGrid

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NEWTON_STEPS = 6  # of the inverse bilinear map; quadratic convergence from the middle of a cell
_SLACK = 1e-6  # of a cell, by which rounding may place a position beside its cell
_ROUNDING = 1e-2  # degrees, of a sum of longitudes in single precision
# The corners of a quadrilateral of cell centres: rows and columns after its first.
_CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


class Corners(NamedTuple):
    """The four cells around each of `n` positions: rows, columns and weights `n 4`.

    Weights sum to 1 over the four; they are 0 for cells that the grid does not have, so that the
    sum over the others is below 1 near an edge, and 0 far from the grid.
    """

    row: IntArray
    column: IntArray
    weight: FloatArray


@dataclass(frozen=True)
class Locator:
    """Finds positions on any column-structured grid: regular, curvilinear, or on a plane."""

    grid: OceanGrid

    def corners(self, longitude: FloatArray, latitude: FloatArray) -> Corners:
        """Cells and bilinear weights of positions `n`, in the units of the grid.

        The quadrilateral of cell centres that holds a position is one of the four about the
        nearest centre. Beside the outermost centres the grid continues by one cell, which has no
        weight.
        """
        longitude = self._turned(longitude)
        nearest = self.nearest(longitude, latitude)
        best = np.full(len(longitude), np.inf)
        found = np.zeros((len(longitude), 2), dtype=np.int64)
        fractions = np.zeros((len(longitude), 2))
        for back in _CORNERS:
            first = nearest + 1 - back  # in the continued grid
            candidate = self._fractions(first, longitude, latitude)
            outside = np.abs(candidate - 0.5).max(axis=1) - 0.5
            better = outside < best
            best[better], found[better] = outside[better], first[better]
            fractions[better] = candidate[better]
        known = (best < _SLACK) & self._within_sector(longitude)
        return self._weighted(found, fractions, known=known)

    def offsets(self, longitude: float, latitude: float) -> tuple[FloatArray, FloatArray]:
        """Distances of all cell centres from a position along both axes, `y x`, in its units."""
        x, y = self.grid.positions
        return _wrapped(x - longitude, self.period), y - latitude

    @cached_property
    def _continued(self) -> tuple[FloatArray, FloatArray]:
        """Positions of the cells with one more on each side, both `y+2 x+2`."""
        x, y = self.grid.positions
        if self.grid.periodic_x:
            x = np.hstack([x[:, -1:] - self.period, x, x[:, :1] + self.period])
            y = np.hstack([y[:, -1:], y, y[:, :1]])
        else:
            x, y = (_beyond(z, axis=1, step=step) for z, step in ((x, 1.0), (y, 0.0)))
        return _beyond(x, axis=0, step=0.0), _beyond(y, axis=0, step=1.0)

    @cached_property
    def period(self) -> float:
        """After which longitude repeats; infinite on a plane without a periodic axis."""
        longitude = unwrapped(self.grid)
        if self.grid.periodic_x and longitude.ndim == 1 and len(longitude) > 1:
            period = float(longitude[-1] - longitude[0] + np.diff(longitude).mean())
            whole = self.grid.horizontal_units == "degrees" and abs(period - 360.0) < _ROUNDING
            return 360.0 if whole else period
        return 360.0 if self.grid.horizontal_units == "degrees" else np.inf

    def _turned(self, longitude: FloatArray) -> FloatArray:
        """Longitudes within half a turn of the grid's middle; as given on a plane."""
        if self.grid.horizontal_units != "degrees":
            return longitude
        middle = float(self.grid.longitude.mean())
        return middle + _wrapped(longitude - middle, 360.0)

    def _within_sector(self, longitude: FloatArray) -> NDArray[np.bool_]:
        """Whether longitudes `n` are no further beyond a periodic sector than the next column.

        A sector stands for its own longitudes, not for all that its period maps there.
        """
        if self.period in (360.0, np.inf):
            return np.ones(len(longitude), dtype=bool)
        first, last = self.grid.longitude[[0, -1]]
        step = self.period - (last - first)
        return np.abs(longitude - 0.5 * (first + last)) <= 0.5 * (last - first) + step

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.in_space(*(z.ravel() for z in self.grid.positions)))

    def nearest(self, longitude: FloatArray, latitude: FloatArray) -> IntArray:
        """Row and column `n 2` of the cell centre nearest to each of `n` positions."""
        _, index = self._tree.query(self.in_space(longitude, latitude))
        return np.stack(np.unravel_index(index, self.grid.shape[1:]), axis=1).astype(np.int64)

    def in_space(self, longitude: FloatArray, latitude: FloatArray) -> FloatArray:
        """Points in which near positions are near, also across a periodic axis."""
        if self.grid.horizontal_units == "degrees" and self.period == 360.0:
            turn, rise = np.deg2rad(longitude), np.deg2rad(latitude)
            flat = np.cos(rise)
            return np.stack([flat * np.cos(turn), flat * np.sin(turn), np.sin(rise)], axis=1)
        if np.isinf(self.period):
            return np.stack([longitude, latitude], axis=1)
        turn, radius = 2 * np.pi * longitude / self.period, self.period / (2 * np.pi)
        return np.stack([radius * np.cos(turn), radius * np.sin(turn), latitude], axis=1)

    def _fractions(
        self, first: IntArray, longitude: FloatArray, latitude: FloatArray
    ) -> FloatArray:
        """Fractions `n 2` along rows and columns of positions in quadrilaterals.

        By Newton's method. first: `n 2`, the first corner of each in the continued grid
        """
        corner = first[:, None, :] + _CORNERS
        x, y = (z[corner[..., 0], corner[..., 1]] for z in self._continued)
        east = _wrapped(x - longitude[:, None], self.period)
        if self.grid.horizontal_units == "degrees":
            east = east * np.cos(np.deg2rad(latitude))[:, None]
        around = np.stack([east, y - latitude[:, None]], axis=-1)  # n corner 2
        fractions = np.full(first.shape, 0.5)
        for _ in range(_NEWTON_STEPS):
            weight, along_rows, along_columns = _bilinear(fractions)
            miss = np.einsum("nc, ncd -> nd", weight, around)
            slopes = np.stack(
                [np.einsum("nc, ncd -> nd", s, around) for s in (along_rows, along_columns)],
                axis=-1,
            )
            fractions = fractions - _solved(slopes, miss)
        return fractions

    def _weighted(
        self, first: IntArray, fractions: FloatArray, *, known: NDArray[np.bool_]
    ) -> Corners:
        weight = _bilinear(fractions.clip(0, 1))[0] * known[:, None]
        corner = first[:, None, :] + _CORNERS - 1  # in the grid itself
        row, column = corner[..., 0], corner[..., 1]
        _, rows, columns = self.grid.shape
        if self.grid.periodic_x:
            column = column % columns
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        return Corners(
            np.where(inside, row, 0), np.where(inside, column, 0), np.where(inside, weight, 0.0)
        )


def unwrapped(grid: OceanGrid) -> FloatArray:
    """Longitudes `x` or `y x` without a jump by a turn; as given on a plane."""
    if grid.horizontal_units != "degrees":
        return grid.longitude
    return np.unwrap(grid.longitude, period=360.0, axis=-1)


def _bilinear(fractions: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights of the four corners at fractions `n 2`, and their derivatives, each `n 4`."""
    down, right = fractions[:, :1], fractions[:, 1:]
    rows = np.where(_CORNERS[:, 0], down, 1 - down)
    columns = np.where(_CORNERS[:, 1], right, 1 - right)
    signs = 2 * _CORNERS - 1
    return rows * columns, signs[:, 0] * columns, signs[:, 1] * rows


def _solved(slopes: FloatArray, miss: FloatArray) -> FloatArray:
    """Solutions `n 2` of 2 x 2 systems; huge where cells have no width."""
    (a, b), (c, d) = slopes[:, 0].T, slopes[:, 1].T
    determinant = a * d - b * c
    safe = np.where(np.abs(determinant) > 1e-30, determinant, 1e-30)
    return (
        np.stack([d * miss[:, 0] - b * miss[:, 1], a * miss[:, 1] - c * miss[:, 0]], 1)
        / safe[:, None]
    )


def _wrapped(distance: FloatArray, period: float) -> FloatArray:
    """Distances along a periodic axis, the shorter way."""
    if np.isinf(period):
        return distance
    return (distance + period / 2) % period - period / 2


def _beyond(z: FloatArray, *, axis: int, step: float) -> FloatArray:
    """Positions continued linearly by one on both sides of an axis; an axis of one by `step`."""
    first, last = z.take([0], axis), z.take([-1], axis)
    if z.shape[axis] == 1:
        return np.concatenate([first - step, z, last + step], axis)
    second, before = z.take([1], axis), z.take([-2], axis)
    return np.concatenate([2 * first - second, z, 2 * last - before], axis)
