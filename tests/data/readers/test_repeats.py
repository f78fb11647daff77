"""Columns that a file holds twice."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError

EAST = {"units": "degrees_east"}
COLUMNS = {
    "cyclic point": ([*range(8), 0], "last column"),
    "ORCA": ([6, 7, *range(8)], "last 2 columns"),
    "halo on both sides": ([7, *range(8), 0], "last 2 columns"),
}


@pytest.mark.parametrize(("columns", "repeated"), COLUMNS.values(), ids=COLUMNS)
def test_columns_that_repeat_on_a_periodic_globe(ocean, into_archive, columns, repeated):
    longitude = 45.0 * (np.arange(len(columns)) + columns[0])
    source = ocean().isel(lon=columns).assign_coords(lon=("lon", longitude, EAST))
    with pytest.raises(UserError, match=rf"the {repeated} of .* repeats? the first"):
        into_archive(source, periodic_x=True)
    assert into_archive(source).grid.shape[2] == len(columns)  # restarts of NEMO 4.0 need them


def test_columns_that_repeat_in_a_channel_on_a_plane(ocean, into_archive):
    plane = {"lat": ("lat", 5.0 * np.arange(6), {"units": "km"})}
    source = ocean().isel(lon=[*range(8), 0])
    source = source.assign_coords(lon=("lon", 5.0 * np.arange(9), {"units": "km"}), **plane)
    with pytest.raises(UserError, match=r"the last column of .* repeats the first"):
        into_archive(source, periodic_x=True)
    whole = source.isel(lon=slice(8))
    assert into_archive(whole, periodic_x=True).grid.periodic_x


def test_a_state_without_change_along_x_repeats_nothing(ocean, wet, into_archive):
    source = ocean()
    for name in ("thetao", "so"):
        source[name] = source[name].copy(
            data=np.where(wet, source[name].mean("lon").values[..., None], np.nan)
        )
    assert into_archive(source, periodic_x=True).grid.periodic_x
