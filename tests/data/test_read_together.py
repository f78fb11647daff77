"""What a list of files means: paths, files of one output, clocks, groups, and own products."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data.archive.reader import StateArchive
from data.errors import UserError
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.paths import matching

SPLIT = {"train": 0.4, "validation": 0.3, "gap_years": 0.0}


@pytest.fixture
def archive(tmp_path):
    """Ingests files and opens the archive: `archive(*files, **settings)`."""

    def write_and_open(*files, **settings):
        defaults = {"equation_of_state": "jmd95", "split": SPLIT}
        described = IngestSettings(files=[str(file) for file in files], **(defaults | settings))
        output = tmp_path / f"{len([*tmp_path.iterdir()])}.zarr.zip"
        ingest(described, output=output)
        return StateArchive.open(output)

    return write_and_open


@pytest.fixture
def save(tmp_path):
    """Writes a dataset: `save(dataset, "a.nc")`."""

    def write(dataset, name):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        dataset.to_netcdf(tmp_path / name)
        return tmp_path / name

    return write


def temperatures(archive):
    return archive.read(range(len(archive))).temperature.numpy()


def test_a_path_that_exists_is_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["run[1]/a*.nc", "run[1]/ab.nc", "run1/a.nc"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    one, two, three = (tmp_path / name for name in names)
    assert matching(tmp_path / "run[1]" / "a*.nc") == [one]
    assert matching(tmp_path / "run[1]" / "*b.nc") == [two]
    assert matching("~/run[1]/*.nc") == [one, two]
    assert matching("~/run[2-9]/*.nc") == []
    one.unlink()
    two.unlink()
    one.parent.rmdir()
    assert matching("~/run[1]/*.nc") == [three]
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in matching("run1/*")] == ["a.nc"]


def test_variables_in_files_of_their_own(archive, save, ocean):
    source = ocean()
    whole = archive(save(source, "whole.nc"))
    for number, part in enumerate((slice(3), slice(3, 6))):
        for name in ("thetao", "so", "zos"):
            save(source.isel(time=part)[[name]], f"{name}_Omon_{number}.nc")
    folder = whole.path.parent
    patterns = [folder / f"{name}_Omon_*.nc" for name in ("zos", "so", "thetao")]
    joined = archive(*patterns, one_member=True)
    np.testing.assert_array_equal(temperatures(joined), temperatures(whole))
    np.testing.assert_array_equal(joined.time, whole.time)
    assert joined.has_sea_level and not joined.member.any()
    assert {*joined.attributes["source_files"]} == {
        f"{name}_Omon_{n}.nc" for name in ("thetao", "so", "zos") for n in (0, 1)
    }


def test_members_in_a_folder_for_each_variable(archive, save, ocean):
    for member in "ab":
        source = ocean(seed=ord(member))
        save(source[["thetao"]], f"thetao/{member}.nc")
        last = save(source[["so"]], f"so/{member}.nc")
    both = archive(last.parents[1] / "thetao/*.nc", last.parent / "*.nc")
    np.testing.assert_array_equal(both.member, np.repeat([0, 1], 6))
    wet = both.grid.wet
    np.testing.assert_array_equal(
        both.read([7]).salinity[0].numpy()[wet], ocean(seed=ord("b")).so.values[1][wet]
    )


def test_a_file_with_the_grid_joins_every_output(archive, save, ocean):
    longitude, latitude = np.meshgrid(ocean().lon, ocean().lat)
    static = xr.Dataset(
        {
            "geolon": (("yh", "xh"), longitude + 1),
            "geolat": (("yh", "xh"), latitude),
            "area_t": (("yh", "xh"), np.full((4, 5), 2e12)),
            "wet": (("yh", "xh"), np.isfinite(ocean().thetao.values[0, 0]).astype("f4")),
        }
    )
    files = [save(ocean(seed=n).rename(lat="yh", lon="xh", depth="z_l"), f"{n}.nc") for n in (0, 1)]
    grid = archive(*files, save(static, "ocean_static.nc")).grid
    np.testing.assert_array_equal(grid.longitude, longitude + 1)
    assert (grid.area == 2e12).all()


def test_files_that_do_not_belong_together(archive, save, ocean):
    source = ocean()
    temperature = save(source[["thetao"]], "thetao_x.nc")
    short = save(source[["so"]].isel(lon=slice(4)), "so_x.nc")
    with pytest.raises(UserError, match=r"so_x.nc has 4 lon, .*thetao_x.nc 5: expected files of"):
        archive(temperature, short)
    later = save(source[["so"]].assign_coords(time=source.time + 15), "so_y.nc")
    with pytest.raises(UserError, match=r"so_y.nc has another time than .*thetao_x.nc"):
        archive(temperature, later)
    with pytest.raises(UserError, match=r"so_y.nc has salinity but no temperature, and which of"):
        archive(temperature, save(source[["so"]], "so_x.nc"), later)
    with pytest.raises(UserError, match=r"thetao_x.nc has no salinity"):
        archive(temperature)
    velocity = save(source[["thetao"]].rename(thetao="uo").drop_attrs(), "uo.nc")
    with pytest.raises(UserError, match=r"uo.nc has no temperature"):
        archive(velocity, save(source, "whole.nc"), temperature)


@pytest.mark.parametrize(
    ("units", "calendar"),
    [
        ("days since 0004-01-01", "noleap"),
        ("hours since 0004-01-01 00:00:00", "365_day"),
        ("seconds since 0001-01-01", "noleap"),
    ],
)
def test_dates_are_decoded_against_each_other(archive, save, ocean, units, calendar):
    source = ocean()
    days = source.time.values[3:] - (365 * 3 if "0004" in units else 0)
    scale = {"days": 1, "hours": 24, "seconds": 86400}[units.split()[0]]
    clock = {"units": units, "calendar": calendar}
    later = source.isel(time=slice(3, 6)).assign_coords(time=("time", scale * days, clock))
    files = [save(source.isel(time=slice(3)), "a.nc"), save(later, "b.nc")]
    np.testing.assert_allclose(archive(*files, one_member=True).time, np.arange(6))


def test_clocks_that_cannot_be_compared(archive, save, ocean):
    source = ocean()
    first = save(source, "a.nc")
    for units, calendar in (("days", "365_day"), ("days since 0010-01-01", "360_day")):
        clock = ("time", source.time.values, {"units": units, "calendar": calendar})
        second = save(source.assign_coords(time=clock), "b.nc")
        with pytest.raises(UserError, match=rf"time in {units} {calendar} instead of days since"):
            archive(first, second, one_member=True)


def test_fields_in_groups_are_not_left_out(archive, save, ocean, tmp_path):
    path = save(ocean(), "a.nc")
    ocean().to_netcdf(path, group="daily", mode="a")
    with pytest.raises(UserError, match=r"a.nc has .*temperature in its groups daily: .*ncks -g"):
        archive(path)
    ocean().to_zarr(tmp_path / "a.zarr", group="monthly")
    with pytest.raises(UserError, match=r"temperature in its groups monthly"):
        archive(tmp_path / "a.zarr")
    other = save(ocean(), "b.nc")
    xr.Dataset({"note": ("n", [1.0])}).to_netcdf(other, group="history", mode="a")
    assert len(archive(other)) == 6


def test_an_archive_is_read_as_it_was_written(archive, save, ocean):
    files = [save(ocean(seed=n).assign_attrs(gm=500.0 + n), f"{n}.nc") for n in (0, 1)]
    first = archive(*files, periodic_x=True, parameters=["gm"])
    again = archive(first.path, split="from_file", parameters=["gm"])
    np.testing.assert_array_equal(temperatures(again), temperatures(first))
    for name in ("member", "time", "split"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    np.testing.assert_array_equal(again.parameters["gm"], np.repeat([500, 501], 6))
    assert again.grid.periodic_x
    np.testing.assert_array_equal(again.grid.thickness, first.grid.thickness)
    both = archive(first.path, files[0], periodic_x=True, parameters=["gm"])
    np.testing.assert_array_equal(both.member, np.repeat([0, 1, 2], 6))
    with pytest.raises(UserError, match=r"made for the equation of state jmd95, the settings name"):
        archive(first.path, equation_of_state="linear")


def test_a_parameter_with_its_unit(archive, save, ocean):
    read = archive(save(ocean().assign_attrs(gm="1000 m2/s"), "a.nc"), parameters=["gm"])
    assert set(read.parameters["gm"]) == {1000} and read.units["gm"] == "m2/s"
    path = save(ocean().assign_attrs(gm="strong"), "b.nc")
    with pytest.raises(UserError, match=r'gm of .*b.nc is "strong": expected a number'):
        archive(path, parameters=["gm"])


def test_whatever_a_reader_raises_is_a_sentence(archive, save, ocean, monkeypatch):
    from data.readers import cf

    def fail(*_args, **_options):
        raise IndexError("index 5 is out of bounds\nfor axis 0")

    path = save(ocean(), "a.nc")
    monkeypatch.setattr(cf, "from_dataset", fail)
    with pytest.raises(UserError, match=r"a.nc cannot be read as .*IndexError: index 5 .*bounds\)"):
        archive(path)
