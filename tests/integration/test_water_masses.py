"""Boxes of the acceptance metrics."""

from __future__ import annotations

import numpy as np
import pytest

from data.grid import OceanGrid
from integration import water_masses

DEPTH = np.array([250.0, 750.0, 1250.0, 3000.0])
LATITUDE = np.array([-45.0, -15.0, 15.0, 45.0])


@pytest.fixture
def grid() -> OceanGrid:
    """Four levels to 4000 m, four latitudes; the northernmost row ends at 1000 m."""
    wet = np.ones((4, 4, 3), dtype=bool)
    wet[2:, 3] = False
    thickness = np.array([500.0, 500.0, 500.0, 2500.0])[:, None, None] * wet
    return OceanGrid(
        depth=DEPTH,
        thickness=thickness,
        area=np.ones((4, 3)),
        wet=wet,
        longitude=np.arange(3.0),
        latitude=LATITUDE,
        periodic_x=True,
    )


def test_boxes_are_those_of_the_paper(grid):
    deep, bottom = water_masses.deep_water(grid), water_masses.bottom_water(grid)
    np.testing.assert_array_equal(
        deep[..., 0] > 0, [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(
        bottom[..., 0] > 0, [[1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0], [1, 1, 1, 0]]
    )


def test_means_of_boxes_are_by_volume(grid):
    field = np.broadcast_to(DEPTH[:, None, None], grid.wet.shape)
    assert water_masses.box_mean(field, water_masses.deep_water(grid)) == pytest.approx(1000.0)


def test_temperature_at_mid_depth_lies_between_levels(grid):
    temperature = np.broadcast_to(10 - DEPTH[:, None, None] / 250, grid.wet.shape).copy()
    temperature[:, [0, 3]] = 99.0  # not in the tropics
    assert water_masses.mid_depth_temperature(temperature, grid) == pytest.approx(8.0)
