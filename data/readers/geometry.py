"""Cell areas and layer thicknesses where a file gives only positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EARTH_RADIUS = 6371e3  # m


def cell_area(longitude: Array, latitude: Array, *, units: str = "degrees") -> Array:
    """Horizontal cell area `y x` [m2] from cell centres.

    longitude, latitude: `x` and `y`, or `y x` both; degrees, or km on a plane. Edges lie midway
    between centres; on a regular grid the area on the sphere is exact for those edges, on a
    curvilinear one it is that of the parallelogram spanned by the grid vectors. Longitudes may jump
    by 360 degrees from one column to the next.
    """
    if units == "km":
        return 1e6 * np.outer(_widths(latitude), _widths(longitude))
    if longitude.ndim == 1:
        edges = np.clip(_edges(latitude), -90, 90)
        bands = np.abs(np.diff(np.sin(np.deg2rad(edges))))
        return EARTH_RADIUS**2 * np.outer(
            bands, np.deg2rad(_widths(np.unwrap(longitude, period=360)))
        )
    turn = np.unwrap(np.unwrap(np.deg2rad(longitude), axis=1), axis=0)
    phi = np.deg2rad(latitude)
    turn_y, turn_x = np.gradient(turn)
    phi_y, phi_x = np.gradient(phi)
    return EARTH_RADIUS**2 * np.cos(phi) * np.abs(turn_x * phi_y - turn_y * phi_x)


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


def _edges(centres: Array) -> Array:
    inner = 0.5 * (centres[:-1] + centres[1:])
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])


def _widths(centres: Array) -> Array:
    return np.abs(np.diff(_edges(centres)))
