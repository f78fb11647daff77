"""Transports of a basin's velocities: overturning, channel, gyres. Pure functions in NumPy.

Velocities are the model's own, on the faces of its cells (C grid): u on the eastern and v on the
northern one, `z y x` [m/s]. A model's parameterised eddies (Gent-McWilliams) are not in them: the
overturning is the Eulerian one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SVERDRUP = 1e6  # m3/s
NORTHERN_CELL = (20.0, 500.0)  # from this latitude [degrees north] and depth [m] on
ABYSS = 2000.0  # m; the cell of bottom water lies below
SUBTROPICS = (15.0, 45.0)  # degrees north; the wind's curl changes sign at both


def overturning(v: FloatArray, *, width: FloatArray, thickness: FloatArray) -> FloatArray:
    """Stream function `z y` [Sv] at the base of each level: the northward transport above it.

    v: `z y x` [m/s]; width: of the northern faces, `y x` [m]; thickness: `z` [m]. Positive where
    water moves north above and south below; 0 at the sea floor of a closed basin.
    """
    return np.cumsum((v * width).sum(axis=2) * thickness[:, None], axis=0) / SVERDRUP


def northern_cell(stream: FloatArray, *, latitude: FloatArray, base: FloatArray) -> float:
    """Strength [Sv] of the northern hemisphere's deep cell in an overturning `z y`.

    latitude: of the northern faces, `y` [degrees]; base: of the levels, `z` [m]. The largest value
    in the region `NORTHERN_CELL`, which leaves out the shallow cells that the wind drives.
    """
    south, shallow = NORTHERN_CELL
    return float(stream[np.ix_(base >= shallow, latitude >= south)].max(initial=0.0))


def abyssal_cell(stream: FloatArray, *, base: FloatArray) -> float:
    """Strength [Sv] of the cell of bottom water: minus the smallest value below `ABYSS`."""
    return -float(stream[base >= ABYSS].min(initial=0.0))


def barotropic(u: FloatArray, *, length: FloatArray, thickness: FloatArray) -> FloatArray:
    """Barotropic stream function `y x` [Sv] at the south-eastern corners of the cells.

    u: `z y x` [m/s]; length: of the eastern faces, `y` [m]; thickness: `z` [m]. The eastward
    transport between a corner and the northern wall; positive in the north's subtropical gyre.
    """
    flow = np.einsum("zyx,z,y->yx", u, thickness, length)
    return np.cumsum(flow[::-1], axis=0)[::-1] / SVERDRUP


def channel_transport(stream: FloatArray) -> float:
    """Eastward transport [Sv] through the channel of an otherwise closed basin."""
    return float(stream[0].mean())


def gyre_strength(stream: FloatArray, *, latitude: FloatArray) -> float:
    """Largest barotropic stream function [Sv] in the northern subtropics.

    latitude: of the southern faces, `y` [degrees]
    """
    south, north = SUBTROPICS
    return float(stream[(latitude >= south) & (latitude <= north)].max(initial=0.0))
