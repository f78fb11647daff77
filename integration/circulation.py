"""Transports of a basin: overturning, channel and gyres, as pure functions in NumPy.

Velocities `z y x` [m/s] are resolved velocities on the faces of a C grid, u on the eastern and v on
the northern face. They exclude parameterised eddies (Gent-McWilliams), so the overturning is
Eulerian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SVERDRUP = 1e6  # m3/s
NORTHERN_CELL = (20.0, 500.0)  # southern [degrees north] and upper [m] bound of its region
ABYSS = 2000.0  # m; upper bound of the abyssal cell
SUBTROPICS = (15.0, 45.0)  # degrees north; the wind's curl changes sign at both


def overturning(v: FloatArray, *, width: FloatArray, thickness: FloatArray) -> FloatArray:
    """Overturning stream function `z y` [Sv]: northward transport above the base of each level.

    v: `z y x` [m/s]; width: northern faces, `y x` [m]; thickness: `z` [m]. Positive where water
    flows north above and south below; 0 at the sea floor of a closed basin.
    """
    return np.cumsum((v * width).sum(axis=2) * thickness[:, None], axis=0) / SVERDRUP


def northern_cell(stream: FloatArray, *, latitude: FloatArray, base: FloatArray) -> float:
    """Strength [Sv] of the northern deep cell of an overturning stream function `z y`.

    latitude: northern faces, `y` [degrees]; base: depth of each level's base, `z` [m]. The maximum
    in the region `NORTHERN_CELL`, which excludes the shallow wind-driven cells.
    """
    south, shallow = NORTHERN_CELL
    return float(stream[np.ix_(base >= shallow, latitude >= south)].max(initial=0.0))


def abyssal_cell(stream: FloatArray, *, base: FloatArray) -> float:
    """Strength [Sv] of the abyssal cell: minus the minimum of the stream function below `ABYSS`."""
    return -float(stream[base >= ABYSS].min(initial=0.0))


def barotropic(u: FloatArray, *, length: FloatArray, thickness: FloatArray) -> FloatArray:
    """Barotropic stream function `y x` [Sv] at the south-eastern corners of the cells.

    u: `z y x` [m/s]; length: eastern faces, `y` [m]; thickness: `z` [m]. Eastward transport
    between a corner and the northern wall; positive in the northern subtropical gyre.
    """
    flow = np.einsum("zyx,z,y->yx", u, thickness, length)
    return np.cumsum(flow[::-1], axis=0)[::-1] / SVERDRUP


def channel_transport(stream: FloatArray) -> float:
    """Eastward transport [Sv] through the channel, of a barotropic stream function `y x`."""
    return float(stream[0].mean())


def gyre_strength(stream: FloatArray, *, latitude: FloatArray) -> float:
    """Maximum of the barotropic stream function [Sv] in the northern subtropics.

    latitude: southern faces, `y` [degrees]
    """
    south, north = SUBTROPICS
    return float(stream[(latitude >= south) & (latitude <= north)].max(initial=0.0))
