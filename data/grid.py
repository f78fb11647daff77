"""The ocean's grid: depths, thickness, area, wet mask, periodic axis, and padding for networks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Precision to which two files of one grid agree: they hold single precision, areas may follow from
# such positions, and layers that move with the surface differ by its mean height.
DEGREES_APART = 1e-4
SAME_AREA = 1e-3
SAME_THICKNESS = 0.02


@dataclass(frozen=True)
class OceanGrid:
    """A column-structured ocean grid, surface first.

    depth: `z`, cell centres [m], positive down, increasing
    thickness: `z y x`, cell thickness [m], partial cells included
    area: `y x`, cell area [m2]
    wet: `z y x`, True in the ocean
    longitude, latitude: `x` and `y` (regular grid) or `y x` both (curvilinear); degrees, or km on
        a plane (then `horizontal_units` is "km")
    periodic_x: whether the last column of x adjoins the first
    level_faces: `z+1` [m], for a part of a grid (see `faces`)
    """

    depth: FloatArray
    thickness: FloatArray
    area: FloatArray
    wet: NDArray[np.bool_]
    longitude: FloatArray
    latitude: FloatArray
    periodic_x: bool = False
    horizontal_units: str = field(default="degrees")
    level_faces: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of levels, rows and columns `(z, y, x)`."""
        levels, rows, columns = self.wet.shape
        return levels, rows, columns

    @property
    def volume(self) -> FloatArray:
        """Wet volume of each cell `z y x` [m3]; 0 on land."""
        return self.thickness * self.area * self.wet

    @cached_property
    def thickest(self) -> FloatArray:
        """Thickness of the thickest wet cell of each level, `z` [m]; 0 without wet cells."""
        levels = zip(self.wet, self.thickness, strict=True)
        return np.array([np.where(wet, thickness, 0.0).max() for wet, thickness in levels])

    @cached_property
    def faces(self) -> FloatArray:
        """Depth of the faces of the levels, `z+1` [m], the surface (0) first.

        The thickness of a level is that of its thickest cell, because the sea floor cuts others; a
        level without wet cells is symmetric about its centre. A face that would not lie between
        the centres of its two levels is placed midway. `level_faces` takes precedence.
        """
        if self.level_faces is not None:
            return self.level_faces
        below = np.append(self.depth[1:], np.inf)
        faces = [0.0]
        for height, centre, next_centre in zip(self.thickest, self.depth, below, strict=True):
            symmetric = 2 * centre - faces[-1]
            face = faces[-1] + height if height > 0 else symmetric
            if not centre < face < next_centre:
                face = 0.5 * (centre + next_centre) if np.isfinite(next_centre) else symmetric
            faces.append(float(face))
        return np.array(faces)

    @property
    def interface_depth(self) -> FloatArray:
        """Depth of the interfaces between levels, `z-1` [m]."""
        return self.faces[1:-1]

    @property
    def positions(self) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude of the cell centres, both `y x`, in `horizontal_units`."""
        if self.longitude.ndim == 1:
            longitude, latitude = np.meshgrid(self.longitude, self.latitude)
            return longitude, latitude
        return self.longitude, self.latitude

    def part(self, rows: slice) -> OceanGrid:
        """The grid of some rows; levels keep the faces that they have in the whole grid.

        A periodic x axis stays periodic.
        """
        curvilinear = self.latitude.ndim == 2
        return replace(
            self,
            thickness=self.thickness[:, rows],
            area=self.area[rows],
            wet=self.wet[:, rows],
            longitude=self.longitude[rows] if curvilinear else self.longitude,
            latitude=self.latitude[rows],
            level_faces=self.faces,
        )

    def differing_coordinate(self, other: OceanGrid) -> str | None:
        """The first coordinate in which a grid of the same wet mask differs; None if there is none.

        Compared in wet cells: depths, longitudes, latitudes, cell areas and thicknesses, to the
        precision to which files hold them.
        """
        surface = self.wet.any(axis=0)
        apart = np.subtract(self.positions, other.positions)
        if self.horizontal_units == "degrees":
            apart[0] = (apart[0] + 180) % 360 - 180
        same = {
            "horizontal units": self.horizontal_units == other.horizontal_units,
            "periodic axis": self.periodic_x == other.periodic_x,
            "depths": np.allclose(self.depth, other.depth, rtol=1e-5),
            "longitudes": bool((abs(apart[0][surface]) <= DEGREES_APART).all()),
            "latitudes": bool((abs(apart[1][surface]) <= DEGREES_APART).all()),
            "cell areas": np.allclose(self.area[surface], other.area[surface], rtol=SAME_AREA),
            "thicknesses": all(
                np.allclose(ours[wet], theirs[wet], rtol=SAME_THICKNESS)
                for wet, ours, theirs in zip(self.wet, self.thickness, other.thickness, strict=True)
            ),
        }
        return next((name for name, agrees in same.items() if not agrees), None)

    @property
    def digest(self) -> str:
        """Fingerprint of the wet mask and the depths: equal for grids that can share a model."""
        content = np.packbits(self.wet).tobytes() + self.depth.astype("<f4").tobytes()
        return hashlib.sha256(repr(self.shape).encode() + content).hexdigest()[:16]


@dataclass(frozen=True)
class Padding:
    """Pads rows and columns of a `... y x` tensor to a network's multiple, and crops back.

    A periodic x axis is continued around the globe; elsewhere land (0) is added. Half of the rows
    are added on each side, so the domain stays centred.
    """

    rows: int
    columns: int
    multiple: int
    periodic_x: bool = False

    @property
    def padded_shape(self) -> tuple[int, int]:
        """Rows and columns after padding."""
        return _round_up(self.rows, self.multiple), _round_up(self.columns, self.multiple)

    def pad(self, x: Tensor) -> Tensor:
        """`... rows columns` to `... padded_rows padded_columns`."""
        (top, bottom), (left, right) = self._margins()
        lead = x.shape[:-2]
        x = x.reshape(-1, 1, *x.shape[-2:])
        if left or right:  # a padding by nothing would be a copy
            x = F.pad(x, (left, right, 0, 0), mode="circular" if self.periodic_x else "constant")
        if top or bottom:
            x = F.pad(x, (0, 0, top, bottom))
        return x.reshape(*lead, *x.shape[-2:])

    def ocean_rows(self, first: int, last: int) -> slice:
        """The rows of the ocean among the padded rows `first` to `last` - 1."""
        (top, _), _ = self._margins()
        start = min(max(first - top, 0), self.rows)
        return slice(start, max(start, min(last - top, self.rows)))

    def crop(self, x: Tensor, *, first: int = 0) -> Tensor:
        """The inverse of `pad`, for padded rows `x` that begin at `first`.

        With a periodic axis, the output of a network has two values for columns at the seam; they
        are blended, so that the seam leaves no false front.
        """
        (top, _), (left, right) = self._margins()
        found = self.ocean_rows(first, first + x.shape[-2])
        rows = x[..., found.start + top - first : found.stop + top - first, :]
        inner = rows[..., left : left + self.columns]
        if not self.periodic_x:
            return inner
        before, after = rows[..., :left], rows[..., left + self.columns :]
        inner = _blend(inner, before.flip(-1), at_end=True) if left else inner
        return _blend(inner, after, at_end=False) if right else inner

    @property
    def sources(self) -> tuple[IntArray, IntArray]:
        """The ocean's row in each padded row, and its column in each padded column; -1: land."""
        (top, _), (left, _) = self._margins()
        padded_rows, padded_columns = self.padded_shape
        rows, columns = np.arange(padded_rows) - top, np.arange(padded_columns) - left
        if self.periodic_x:
            columns = columns % self.columns
        for numbers, size in ((rows, self.rows), (columns, self.columns)):
            numbers[(numbers < 0) | (numbers >= size)] = -1
        return rows, columns

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """Whether a padded cell is of the ocean, and not land or a repetition, `y x`."""
        own = np.zeros(self.padded_shape, dtype=bool)
        (top, _), (left, _) = self._margins()
        own[top : top + self.rows, left : left + self.columns] = True
        return own

    @property
    def seam(self) -> tuple[IntArray, FloatArray]:
        """How `crop` blends: partners and their weights, each `2 x`, by padded column.

        The columns of the ocean near the end are blended first, with their repetitions before its
        beginning; then those near its beginning. The weight is 0 where nothing is blended.
        """
        _, (left, right) = self._margins()
        partners = np.tile(np.arange(self.padded_shape[1]), (2, 1))
        weights = np.zeros(partners.shape)
        if self.periodic_x:
            end, start = left + self.columns, left
            partners[0, end - left : end] = np.arange(left)
            weights[0, end - left : end] = 0.5 * np.arange(1, left + 1) / max(left, 1)
            partners[1, start : start + right] = end + np.arange(right)
            weights[1, start : start + right] = 0.5 * np.arange(right, 0, -1) / max(right, 1)
        return partners, weights

    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        padded_rows, padded_columns = self.padded_shape
        return _halves(padded_rows - self.rows), _halves(padded_columns - self.columns)


def wet_tensor(grid: OceanGrid) -> Tensor:
    """The wet mask as a boolean tensor `z y x`."""
    return torch.from_numpy(np.ascontiguousarray(grid.wet))


def _blend(inner: Tensor, halo: Tensor, *, at_end: bool) -> Tensor:
    """Blend `halo` with the columns that it repeats: half at the seam, less away from it.

    halo: `... y n`, the copy of the last n columns in reverse order (`at_end`), or of the first n
    """
    width = halo.shape[-1]
    ramp = 0.5 * torch.arange(width, 0, -1, dtype=inner.dtype, device=inner.device) / width
    if at_end:
        blended = torch.lerp(inner[..., -width:].flip(-1), halo, ramp)
        return torch.cat([inner[..., :-width], blended.flip(-1)], dim=-1)
    blended = torch.lerp(inner[..., :width], halo, ramp)
    return torch.cat([blended, inner[..., width:]], dim=-1)


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _halves(total: int) -> tuple[int, int]:
    return total // 2, total - total // 2
