"""Positions of cells on land, where a model's processors wrote nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLANK = (0.0, -1.0)  # what models leave in longitude and latitude alike


def with_positions(
    longitude: Floats, latitude: Floats, land: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Longitude and latitude `y x` [degrees], continued from their neighbours where none is given.

    land: `y x`, columns without water; elsewhere positions that are missing are NaN

    A gap is continued along rows and columns with the step of the nearest cells that have a
    position. So the areas of wet cells beside it, which follow from the distances to their
    neighbours, are those of one-sided differences.
    """
    missing = ~np.isfinite(longitude) | ~np.isfinite(latitude)
    missing |= (np.abs(latitude) > 90) | (np.abs(longitude) > 1080)
    for value in _BLANK:
        blank = (longitude == value) & (latitude == value)
        missing |= blank & (blank.sum() > 1)  # one cell may lie there
    if not missing.any():
        return longitude, latitude
    filled = np.stack([longitude, latitude])
    filled[:, missing] = np.nan
    while np.isnan(filled[0]).any():
        new = np.isnan(filled[0]) & ~np.isnan(continued := _continued(filled))[0]
        if not new.any():
            break
        filled[:, new] = continued[:, new]
    filled[1] = np.clip(filled[1], -90, 90)
    filled[:, missing & ~land] = np.nan
    return filled[0], filled[1]


def _continued(positions: Floats) -> Floats:
    """The mean of what the neighbours on all sides expect, `lon/lat y x`; NaN without any."""
    guesses = np.stack([g for axis in (1, 2) for g in _from_both_sides(positions, axis)])
    known = ~np.isnan(guesses[:, :1])
    count = known.sum(axis=0)
    # Longitudes jump by 360 degrees between columns.
    first = np.take_along_axis(guesses, known.argmax(axis=0)[None].repeat(2, axis=1), axis=0)
    turned = guesses - first
    turned[:, 0] = (turned[:, 0] + 180) % 360 - 180
    total = np.where(known, turned, 0.0).sum(axis=0)
    return np.where(count > 0, first[0] + total / np.maximum(count, 1), np.nan)


def _from_both_sides(positions: Floats, axis: int) -> list[Floats]:
    """Each cell as its two neighbours on one side continue."""
    guesses = []
    for step in (1, -1):
        near, far = (_shifted(positions, axis, step * distance) for distance in (1, 2))
        slope = near - far
        slope[0] = (slope[0] + 180) % 360 - 180
        guesses.append(near + slope)
    return guesses


def _shifted(positions: Floats, axis: int, distance: int) -> Floats:
    shifted = np.full_like(positions, np.nan)
    size = positions.shape[axis]
    if abs(distance) < size:
        source = slice(0, size - distance) if distance > 0 else slice(-distance, size)
        target = slice(distance, size) if distance > 0 else slice(0, size + distance)
        pick = [slice(None)] * 3
        put = [slice(None)] * 3
        pick[axis], put[axis] = source, target
        shifted[tuple(put)] = positions[tuple(pick)]
    return shifted
