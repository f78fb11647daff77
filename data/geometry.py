"""Cell areas, distances and layer thicknesses from positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EARTH_RADIUS = 6371e3  # m


def cell_area(longitude: Array, latitude: Array, *, units: str = "degrees") -> Array:
    """Horizontal cell area `y x` [m2] from cell centres.

    longitude, latitude: `x` and `y`, or `y x` both; degrees, or km on a plane. Edges lie midway
    between centres. On a regular grid the area on the sphere is exact for these edges; on a
    curvilinear grid it is the area of the parallelogram spanned by the grid vectors. Longitudes may
    jump by 360 degrees between columns.
    """
    if units == "km":
        return 1e6 * np.outer(_widths(latitude), _widths(longitude))
    if longitude.ndim == 1:
        parallels = np.clip(edges(latitude), -90, 90)
        bands = np.abs(np.diff(np.sin(np.deg2rad(parallels))))
        return EARTH_RADIUS**2 * np.outer(
            bands, np.deg2rad(_widths(np.unwrap(longitude, period=360)))
        )
    turn = np.unwrap(np.unwrap(np.deg2rad(longitude), axis=1), axis=0)
    phi = np.deg2rad(latitude)
    turn_y, turn_x = np.gradient(turn)
    phi_y, phi_x = np.gradient(phi)
    return EARTH_RADIUS**2 * np.cos(phi) * np.abs(turn_x * phi_y - turn_y * phi_x)


def centre_distances(
    longitude: Array, latitude: Array, *, units: str = "degrees"
) -> tuple[Array, Array]:
    """Distance [m] from each cell centre to the next along x and along y, both `y x`.

    Arguments as for `cell_area`; on the sphere, along the parallel midway. The last column has the
    mean of the first and the last distance, for a periodic axis that need not span the globe. The
    last row repeats the previous one; an axis of one cell has distance 0.
    """
    if longitude.ndim == 1:
        longitude, latitude = np.meshgrid(longitude, latitude)
    along_x, along_y = (_steps(longitude, latitude, axis, units) for axis in (1, 0))
    seam = 0.5 * (along_x[:, :1] + along_x[:, -1:]) if along_x.size else 0.0 * longitude[:, :1]
    last = along_y[-1:] if along_y.size else 0.0 * longitude[:1]
    return np.concatenate([along_x, seam], axis=1), np.concatenate([along_y, last], axis=0)


def _steps(x: Array, y: Array, axis: int, units: str) -> Array:
    """Distances [m] between neighbours along an axis of positions `y x`, one fewer than cells."""
    dx, dy = np.diff(x, axis=axis), np.diff(y, axis=axis)
    if units == "km":
        return 1e3 * np.hypot(dx, dy)
    middle = y.take(range(dy.shape[axis]), axis) + 0.5 * dy
    dx = (dx + 180) % 360 - 180
    return EARTH_RADIUS * np.deg2rad(np.hypot(np.cos(np.deg2rad(middle)) * dx, dy))


def layer_thickness(depth: Array, *, bounds: Array | None = None) -> Array:
    """Thickness of each layer `z` [m] from the depth of centres `z` and, if known, bounds `z 2`.

    Without bounds the interfaces lie midway between centres, the first at the surface, and the last
    layer is symmetric about its centre.
    """
    if bounds is not None:
        return np.abs(bounds[:, 1] - bounds[:, 0])
    inner = 0.5 * (depth[:-1] + depth[1:])
    above = inner[-1] if len(inner) else 0.0
    return np.diff(np.concatenate([[0.0], inner, [2 * depth[-1] - above]]))


def edges(centres: Array) -> Array:
    """Faces midway between centres; the outermost are symmetric about the outermost centres."""
    inner = 0.5 * (centres[:-1] + centres[1:])
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])


def _widths(centres: Array) -> Array:
    return np.abs(np.diff(edges(centres)))
