"""Velocities under the rigid lid of Veros: depth mean from a stream function, w from continuity.

Veros stores the depth-mean flow as a stream function. The initial condition does not determine it,
so the depth mean of the restart is kept and the velocities of the initial condition supply the
vertical shear. There are no partial cells: a level has the same thickness in all columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.geometry import edges
from data.grid import OceanGrid
from data.restarts.initial_condition import Velocities

Array = NDArray[np.floating]
_AREA_TOLERANCE = 1e-3


def with_depth_mean(flow: Velocities, mean: Velocities, grid: OceanGrid) -> Velocities:
    """`flow` with the depth mean of the flow `mean`, both `z y x` [m/s]."""
    heights = _face_heights(grid)
    parts = (
        np.where(height > 0, new - _depth_mean(new, height) + _depth_mean(old, height), 0.0)
        for new, old, height in zip(flow, mean, heights, strict=True)
    )
    return Velocities(*parts)


def vertical_velocity(flow: Velocities, grid: OceanGrid) -> Array:
    """Upward velocity at the upper face of each cell, `z y x` [m/s], from the sea floor up.

    As in Veros, inflow from the sides and from below leaves a cell through its top.
    """
    heights = _face_heights(grid)
    width, length = _widths(grid)  # of northern and eastern faces, on a unit sphere
    east = heights[0] * flow.u * length
    north = heights[1] * flow.v * width
    outflow = east - np.roll(east, 1, axis=-1) + north - np.roll(north, 1, axis=-2)
    upward = -np.cumsum(outflow[::-1], axis=0)[::-1] / (_radius(grid) * _unit_area(grid))
    return np.where(grid.wet, upward, 0.0)


def _depth_mean(values: Array, height: Array) -> Array:
    total = height.sum(axis=0)
    return (values * height).sum(axis=0) / np.where(total > 0, total, 1.0)


def _face_heights(grid: OceanGrid) -> tuple[Array, Array]:
    """Open height `z y x` [m] of the eastern and the northern face of each cell."""
    heights = []
    for axis, closed in ((-1, not grid.periodic_x), (-2, True)):
        height = np.minimum(grid.thickness, np.roll(grid.thickness, -1, axis=axis))
        if closed:
            np.moveaxis(height, axis, 0)[-1] = 0.0
        heights.append(height)
    return heights[0], heights[1]


def _widths(grid: OceanGrid) -> tuple[Array, Array]:
    """Widths `y x` of the northern and lengths `y 1` of the eastern faces, on a unit sphere."""
    northern = np.deg2rad(edges(grid.latitude)[1:])
    width = np.cos(northern)[:, None] * np.deg2rad(np.diff(edges(grid.longitude)))
    return width, np.deg2rad(np.diff(edges(grid.latitude)))[:, None]


def _unit_area(grid: OceanGrid) -> Array:
    """Areas of the cells `y x` on a unit sphere as in Veros: width times length."""
    x, y = (np.deg2rad(np.diff(edges(axis))) for axis in (grid.longitude, grid.latitude))
    return np.cos(np.deg2rad(grid.latitude))[:, None] * np.outer(y, x)


def _radius(grid: OceanGrid) -> float:
    """The radius of the Earth [m] from the cell areas. Raises UserError if they disagree."""
    squared = (grid.area / _unit_area(grid))[grid.wet[0]]
    if np.ptp(squared) > _AREA_TOLERANCE * squared.mean():
        raise UserError(
            "the cell areas of the state are not those of a Veros grid with its longitudes and "
            "latitudes, so a vertical velocity cannot be computed: keep the velocities of the "
            "template, or start at rest."
        )
    return float(np.sqrt(squared.mean()))
