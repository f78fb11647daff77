"""Factors that make covariances vanish with distance."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.localisation import EARTH_RADIUS_KM, distance_km, gaspari_cohn, in_space, tapers
from data.locate import Locator


def test_the_factor_is_gaspari_and_cohn_s():
    r = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 5.0])
    # Equation 4.10 by hand at these distances.
    expected = [1.0, 0.68489583, 0.20833333, 0.01649306, 0.0, 0.0]
    assert gaspari_cohn(r) == pytest.approx(expected, abs=1e-7)
    near, far = gaspari_cohn(np.array([1 - 1e-9, 1 + 1e-9]))
    assert near == pytest.approx(far)


def test_distances_are_kilometres_across_the_periodic_axis(tiny_grid):
    locator = Locator(tiny_grid())  # 32 degrees around
    degree = np.deg2rad(1) * EARTH_RADIUS_KM
    a = np.array([[0.0], [0.0]])
    b = np.array([[30.0, 2.0, 0.0], [0.0, 0.0, 10.0]])
    found = distance_km(a, b, locator)[0]
    assert found == pytest.approx([2 * degree, 2 * degree, 10 * degree], rel=0.01)
    north, there = np.array([[0.0], [60.0]]), np.array([[1.0], [60.0]])
    assert distance_km(north, there, locator)[0, 0] == pytest.approx(degree / 2, rel=0.01)


@pytest.fixture
def places() -> np.ndarray:
    """Longitudes and latitudes `2 n` of an ocean of 60 by 120 degrees."""
    x, y = np.meshgrid(np.arange(2.0, 60, 4), np.arange(-58.0, 60, 4))
    return np.stack([x.ravel(), y.ravel()])


def test_products_of_tapers_are_a_localisation(tiny_grid, places):
    """1 for the same place, 0 beyond the distance, and between near to Gaspari and Cohn."""
    locator = Locator(tiny_grid(periodic_x=False))
    found = tapers(in_space(places, locator), 6000.0)
    factors = found.T @ found
    distance = distance_km(places, places, locator)
    assert np.diag(factors) == pytest.approx(1)
    assert (factors[distance >= 6000] == 0).all() and (distance >= 6000).any()
    # Hats on a surface make it a little wider than hats in space do.
    assert np.abs(factors - gaspari_cohn(distance / 3000)).max() < 0.25
    assert len(found) < 60


def test_wide_tapers_are_few(tiny_grid, places):
    points = in_space(places, Locator(tiny_grid(periodic_x=False)))
    found = tapers(points, 1e6)
    assert (found.T @ found).min() > 0.99
    assert len(found) == 1


def test_narrow_tapers_are_refused(tiny_grid, places):
    points = in_space(places, Locator(tiny_grid(periodic_x=False)))
    with pytest.raises(UserError, match="localisation over 500 km takes more than 128 functions"):
        tapers(points, 500.0)
