"""Localisation: covariances that vanish with horizontal distance.

Few states show covariances between distant places that are not there, and anomalies of the whole
ocean that vary only together. Covariances are therefore multiplied by a function of distance
(Gaspari & Cohn 1999, QJRMS 125, 723, equation 4.10).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.geometry import EARTH_RADIUS
from data.locate import Locator

FloatArray = NDArray[np.float64]
EARTH_RADIUS_KM = EARTH_RADIUS / 1e3
COVER = 1 / 6  # of the distance at which factors vanish: the largest from any place to a taper
MOST_TAPERS = 128


def gaspari_cohn(distance: FloatArray) -> FloatArray:
    """The factor at distances in units of the half width: 1 at 0, 0 from 2 on."""
    r = np.minimum(np.abs(distance), 2.0)
    near = 1 + r**2 * (-5 / 3 + r * (5 / 8 + r * (1 / 2 - r / 4)))
    s = np.maximum(r, 1.0)
    far = 4 - 5 * s + s**2 * (5 / 3 + s * (5 / 8 + s * (-1 / 2 + s / 12))) - 2 / (3 * s)
    return np.where(r <= 1, near, far.clip(0))


def distance_km(a: FloatArray, b: FloatArray, locator: Locator) -> FloatArray:
    """Straight distances `i j` of places `2 i` and `2 j`, in the space of `in_space`."""
    gap = in_space(a, locator)[:, :, None] - in_space(b, locator)[:, None, :]
    return np.sqrt(np.square(gap).sum(axis=0))


def in_space(places: FloatArray, locator: Locator) -> FloatArray:
    """Places `2 n` as points `3 n` in space [km], across a periodic axis near to each other.

    Factors of straight distances in space make covariances of covariances; those of distances along
    a circle or a sphere need not, and analyses then explode. A sector that repeats before 360
    degrees is a tube, as wide as its circles of latitude are long.
    """
    x, y = places
    period = locator.period
    if np.isinf(period):
        return np.stack([x, y, np.zeros_like(x)])
    turn = 2 * np.pi * x / period
    if locator.grid.horizontal_units == "degrees":
        rise = np.deg2rad(y)
        radius = EARTH_RADIUS_KM * period / 360 * np.cos(rise)
        height = EARTH_RADIUS_KM * (np.sin(rise) if period == 360 else rise)
    else:
        radius, height = np.full_like(x, period / (2 * np.pi)), y
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height])


def tapers(points: FloatArray, vanishes: float) -> FloatArray:
    """Functions `a n` of `points` `3 n` [km] whose products, summed over a, localise covariances.

    Hat functions about some of the points, scaled so that the sum of their squares is 1 everywhere.
    The sum of the products of two places' values is then 1 for one place, and 0 beyond `vanishes`
    [km]. Infinitely many such hats, everywhere in space, give the factor of Gaspari and Cohn.

    Raises `UserError` for a distance that needs more than 128.
    """
    hats: list[FloatArray] = []
    gap = np.full(points.shape[1], np.inf)
    while gap.max() > COVER * vanishes:
        if len(hats) == MOST_TAPERS:
            raise UserError(
                f"localisation over {vanishes:g} km takes more than {MOST_TAPERS} functions on "
                "this grid: give localisation_km a longer distance, or null for none"
            )
        # The place that is furthest from those before, at first any.
        distance = np.linalg.norm(points - points[:, [gap.argmax()]], axis=0)
        gap = np.minimum(gap, distance)
        hats.append((1 - 2 * distance / vanishes).clip(0))
    values = np.stack(hats)
    scaled: FloatArray = values / np.linalg.norm(values, axis=0)
    return scaled
