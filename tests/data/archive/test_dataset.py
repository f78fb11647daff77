"""Archives as datasets: CF names and coordinates, NaN on land, dates, read when used."""

from __future__ import annotations

from dataclasses import replace

import cftime
import numpy as np
import pytest
import xarray as xr
import zarr

from data.archive.dataset import open_archive
from data.archive.format import consolidate
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.dataset import states_dataset
from data.errors import UserError
from data.ingest import ingest
from tests.data.test_ingest import model_file, settings


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_an_archive_opens_with_names_units_and_places(name, write_archive, small_grid):
    path = write_archive(name, units={"gm_diffusivity": "m2 s-1"})
    archive, dataset = StateArchive.open(path), open_archive(path)
    assert dataset.thetao.dims == ("sample", "depth", "lat", "lon")
    assert dataset.zos.dims == ("sample", "lat", "lon")
    assert dataset.so.attrs["standard_name"] == "sea_water_practical_salinity"
    assert dataset.so.attrs["units"] == "1"
    assert dataset.lat.attrs["axis"] == "Y" and dataset.depth.attrs["positive"] == "down"
    np.testing.assert_array_equal(dataset.member, archive.member)
    np.testing.assert_array_equal(dataset.split, archive.split)
    np.testing.assert_array_equal(dataset.gm_diffusivity, archive.parameters["gm_diffusivity"])
    assert dataset.gm_diffusivity.attrs == {"long_name": "gm diffusivity", "units": "m2 s-1"}
    first = dataset.isel(sample=3)
    np.testing.assert_array_equal(np.isnan(first.thetao), ~small_grid.wet)
    np.testing.assert_array_equal(np.isnan(first.zos), ~small_grid.wet[0])
    state = archive.read([3])
    np.testing.assert_array_equal(first.so.fillna(0), state.salinity[0])
    nearest = dataset.thetao.sel(lat=0.4, lon=3.7, depth=60, method="nearest")
    np.testing.assert_array_equal(nearest, archive.read(range(10)).temperature[:, 1, 3, 2])


def test_a_parameter_in_days_stays_a_number(write_archive):
    dataset = open_archive(write_archive(units={"gm_diffusivity": "days since 2000-01-01"}))
    assert dataset.gm_diffusivity.dtype == np.float64


def test_states_are_read_when_they_are_used(write_archive):
    path = write_archive()
    dataset = open_archive(path)
    zarr.open_group(path, mode="r+")["thetao"][5] = 1.0
    assert (dataset.thetao.isel(sample=5) == 1.0).all()


def test_a_curvilinear_grid_has_two_dimensional_places(small_grid, random_state, tmp_path):
    longitude, latitude = small_grid.positions
    grid = replace(small_grid, longitude=longitude + 0.1 * latitude, latitude=latitude)
    dataset = states_dataset(random_state(grid, seed=0), grid=grid, equation_of_state="jmd95")
    assert dataset.thetao.dims == ("member", "depth", "j", "i")
    assert dataset.lon.dims == dataset.lat.dims == ("j", "i")
    assert "axis" not in dataset.lon.attrs
    np.testing.assert_array_equal(dataset.lon, grid.longitude)


def test_a_plane_is_in_kilometres(small_grid, random_state):
    plane = replace(small_grid, horizontal_units="km")
    state = random_state(plane, seed=0, sea_level=False)
    dataset = states_dataset(state, grid=plane, equation_of_state="linear")
    assert dataset.thetao.dims == ("member", "depth", "y", "x")
    assert dataset.x.attrs["units"] == "km" and dataset.x.attrs["axis"] == "X"
    assert "zos" not in dataset
    longitude, latitude = plane.positions
    bent = replace(plane, longitude=longitude, latitude=latitude)
    dataset = states_dataset(state, grid=bent, equation_of_state="linear")
    assert dataset.x.dims == ("j", "i")


def test_the_equation_of_state_tells_the_kinds(small_grid, random_state):
    dataset = states_dataset(
        random_state(small_grid, seed=0), grid=small_grid, equation_of_state="nemo-teos10"
    )
    assert dataset.thetao.attrs["standard_name"] == "sea_water_conservative_temperature"
    assert dataset.so.attrs["standard_name"] == "sea_water_absolute_salinity"
    assert dataset.so.attrs["units"] == "g kg-1"


def test_land_of_a_foreign_archive_becomes_nan(write_archive, small_grid):
    path = write_archive()
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name in ("thetao", "so", "zos"):
        group[name][...] = np.nan_to_num(group[name][...])
    del group.attrs["content_sha256"]
    consolidate(group.store)
    dataset = open_archive(path)
    assert np.isnan(dataset.thetao.values[:, ~small_grid.wet]).all()
    assert np.isfinite(dataset.thetao.values[:, small_grid.wet]).all()


def test_dates_are_those_of_the_files(tmp_path):
    """Of a calendar of 360 days, and of the usual one."""
    model_file(tmp_path / "a.nc")
    ingest(settings(tmp_path / "a.nc"), output=tmp_path / "a.zarr")
    dates = open_archive(tmp_path / "a.zarr").time
    assert dates[2].item() == cftime.Datetime360Day(3, 1, 1)
    usual = model_file(None)
    usual["time"].attrs = {"units": "days since 1990-01-01", "calendar": "standard"}
    usual.to_netcdf(tmp_path / "b.nc")
    ingest(settings(tmp_path / "b.nc"), output=tmp_path / "b.zarr")
    dates = open_archive(tmp_path / "b.zarr").time
    assert dates.dtype.kind == "M"
    np.testing.assert_array_equal(
        dates.values.astype("datetime64[s]"),
        np.datetime64("1990-01-01", "s") + np.arange(12) * np.timedelta64(360, "D"),
    )


@pytest.mark.parametrize("units", ["days", "days since the beginning of the run"])
def test_without_a_date_to_count_from_there_are_model_years(tmp_path, units):
    clock = ("time", 360.0 * np.arange(12), {"units": units, "calendar": "360_day"})
    model_file(None).assign_coords(time=clock).to_netcdf(tmp_path / "a.nc")
    ingest(settings(tmp_path / "a.nc"), output=tmp_path / "a.zarr")
    times = open_archive(tmp_path / "a.zarr").time
    assert times.attrs["units"] == "year"
    np.testing.assert_allclose(times, np.arange(12))


def test_files_that_count_from_other_dates(tmp_path):
    """Two members that begin at other dates have model years; pieces of one member have dates."""
    for number, name in enumerate(("a", "b")):
        piece = model_file(None, seed=number)
        piece["time"].attrs["units"] = f"days since {1 + 20 * number:04d}-01-01"
        piece.to_netcdf(tmp_path / f"{name}.nc")
    files = [tmp_path / "a.nc", tmp_path / "b.nc"]
    ingest(settings(*files), output=tmp_path / "two.zarr")
    assert open_archive(tmp_path / "two.zarr").time.attrs["units"] == "year"
    ingest(settings(*files, one_member=True), output=tmp_path / "one.zarr")
    dates = open_archive(tmp_path / "one.zarr").time
    assert dates[-1].item() == cftime.Datetime360Day(32, 1, 1)


def test_the_dataset_is_written_and_read_as_netcdf(write_archive, tmp_path):
    dataset = open_archive(write_archive())
    dataset.to_netcdf(tmp_path / "states.nc")
    with xr.open_dataset(tmp_path / "states.nc") as written:
        xr.testing.assert_identical(written.load(), dataset.load())


def test_anything_else_is_refused_in_a_sentence(tmp_path, small_grid):
    with pytest.raises(UserError, match="does not exist"):
        open_archive(tmp_path / "none.zarr")
    (tmp_path / "other.zarr").mkdir()
    with pytest.raises(UserError, match="not a readable zarr"):
        open_archive(tmp_path / "other.zarr")
    with (
        pytest.raises(UserError, match="nothing was written"),
        ArchiveWriter(tmp_path / "empty.zarr", grid=small_grid, equation_of_state="jmd95"),
    ):
        pass
