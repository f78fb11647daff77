"""Positions that are missing on land do not change the ocean beside it."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.geometry import cell_area
from data.readers.gaps import with_positions

LAND = np.zeros((6, 8), bool)
LAND[:2, :3] = True


def _regular():
    return np.meshgrid(5.0 + 10 * np.arange(8), -70.0 + 10 * np.arange(6))


def _rotated():
    x, y = np.meshgrid(3.0 * np.arange(8), 3.0 * np.arange(6))
    return 0.9 * x - 0.3 * y + 170, 0.3 * x + 0.7 * y  # crosses 180 degrees


@pytest.mark.parametrize("blank", [0.0, -1.0, np.nan, 1e20, -999.0])
@pytest.mark.parametrize("positions", [_regular, _rotated])
def test_areas_of_wet_cells_do_not_depend_on_positions_that_are_not_there(blank, positions):
    longitude, latitude = positions()
    longitude = (longitude + 180) % 360 - 180
    gaps = [np.where(LAND, blank, values) for values in (longitude, latitude)]
    filled = with_positions(*gaps, LAND)
    expected = cell_area(longitude, latitude)
    np.testing.assert_allclose(cell_area(*filled)[~LAND], expected[~LAND], rtol=1e-9)
    np.testing.assert_array_equal(filled[1][~LAND], latitude[~LAND])


def test_one_cell_may_lie_at_0_0():
    longitude, latitude = np.meshgrid(np.arange(-2.0, 3), np.arange(-2.0, 3))
    land = np.zeros((5, 5), bool)
    filled = with_positions(longitude, latitude, land)
    np.testing.assert_array_equal(filled, (longitude, latitude))


def _curvilinear(ocean, *, blank, where):
    longitude, latitude = (np.where(where, blank, values) for values in _regular())
    source = ocean().drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    return source.assign(nav_lon=(("y", "x"), longitude), nav_lat=(("y", "x"), latitude))


@pytest.mark.parametrize("blank", [0.0, np.nan])
def test_an_archive_without_positions_on_land_opens(ocean, into_archive, blank):
    archive = into_archive(_curvilinear(ocean, blank=blank, where=LAND))
    np.testing.assert_allclose(archive.grid.area[~LAND], cell_area(*_regular())[~LAND], rtol=1e-9)


@pytest.mark.parametrize("blank", [0.0, np.nan])
def test_wet_columns_need_a_position(ocean, into_archive, blank):
    where = np.zeros((6, 8), bool)
    where[4, 4:6] = True
    with pytest.raises(UserError, match=r"has no position in 2 wet columns, the first .* \(4, 4\)"):
        into_archive(_curvilinear(ocean, blank=blank, where=where))
