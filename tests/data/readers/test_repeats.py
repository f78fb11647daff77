"""Columns that a file holds twice."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.inspection import inspect

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


@pytest.mark.parametrize(("columns", "repeated"), COLUMNS.values(), ids=COLUMNS)
def test_columns_that_repeat_are_dropped(ocean, into_archive, columns, repeated):
    longitude = 45.0 * (np.arange(len(columns)) + columns[0])
    source = ocean().isel(lon=columns).assign_coords(lon=("lon", longitude, EAST))
    count = len(columns) - 8
    archive = into_archive(source, periodic_x=True, drop_columns=count)
    assert archive.grid.shape[2] == 8
    expected = source.thetao[3, ..., :8].fillna(0)
    np.testing.assert_array_equal(archive.read([3]).temperature[0], expected)
    with pytest.raises(UserError, match=r"columns of .* do not repeat the first in temperature"):
        into_archive(source, periodic_x=True, drop_columns=count + 1)


def test_columns_that_repeat_without_a_periodic_axis_are_told(tmp_path, ocean, monkeypatch):
    """`init` drops them; `ingest` warns where they are kept."""
    monkeypatch.chdir(tmp_path)
    columns, _ = COLUMNS["cyclic point"]
    longitude = ("lon", 45.0 * np.arange(9), EAST)
    ocean().isel(lon=columns).assign_coords(lon=longitude).to_netcdf("a.nc")
    found = inspect(["a.nc"], given={}).settings
    assert (found["periodic_x"].value, found["drop_columns"].value) == (True, 1)
    described = IngestSettings(files=["a.nc"], equation_of_state="nemo-eos80", split="all_test")
    warnings = ingest(described, output=tmp_path / "a.zarr").warnings()
    assert any(
        "set data.ingest.drop_columns: 1 and data.ingest.periodic_x: true" in sentence
        for sentence in warnings
    )


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
