"""Which variable is which, and which dimension is which axis: by name, never by position."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from data.readers.settings import CfReader, MitgcmReader, NemoReader, Variables

THICKNESS = np.array([30.0, 95.0, 475.0])


@pytest.fixture
def read(tmp_path):
    """Writes a dataset and reads it: `read(dataset, reader=CfReader, **options)`."""

    def write_and_read(dataset, *, reader=CfReader, **options):
        path = tmp_path / f"{len([*tmp_path.iterdir()])}.nc"  # an earlier one may still be open
        dataset.to_netcdf(path)
        return reader(**options).open(path)

    return write_and_read


def curvilinear(dataset):
    """The dataset with positions `y x` of cell numbers."""
    longitude, latitude = np.meshgrid(dataset.lon, dataset.lat)
    renamed = dataset.drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    return renamed.assign(
        longitude=(("j", "i"), longitude, {"standard_name": "longitude"}),
        latitude=(("j", "i"), latitude, {"standard_name": "latitude"}),
    )


def assert_states_of(output, dataset):
    state = output.read(slice(1, 3))
    for field, name in ((state.temperature, "thetao"), (state.salinity, "so")):
        np.testing.assert_array_equal(field, np.nan_to_num(dataset[name].values[1:3]))


ORDERS = [("time", "depth", "lon", "lat"), ("lat", "lon", "depth", "time")]


@pytest.mark.parametrize("order", ORDERS, ids=["x before y", "backwards"])
def test_axes_are_told_by_name(read, ocean, order):
    source = ocean()
    output = read(source.assign(so=source.so.transpose(*order), thetao=source.thetao))
    assert_states_of(output, source)
    square = source.isel(lon=slice(4))  # as many rows as columns
    output = read(square.transpose(*order))
    assert_states_of(output, square)
    np.testing.assert_array_equal(output.sea_level[2], square.zos[2])
    assert np.ptp(output.grid.area[:, 0]) > 1 and np.ptp(output.grid.area[0]) < 1


def test_constants_in_another_order(read, ocean):
    source = ocean()
    wet = np.isfinite(source.thetao.values[0])
    area = np.arange(1.0, 21).reshape(4, 5)
    layers = np.broadcast_to(THICKNESS[:, None, None], wet.shape) + area
    turned = source.assign(
        mask=(("lon", "depth", "lat"), wet.transpose(2, 0, 1).astype("i1")),
        areacello=(("lon", "lat"), area.T),
        thkcello=(("lat", "lon", "depth"), layers.transpose(1, 2, 0)),
    )
    grid = read(turned).grid
    np.testing.assert_array_equal(grid.wet, wet)
    np.testing.assert_array_equal(grid.area, area)
    np.testing.assert_array_equal(grid.thickness, layers * wet)


def test_two_dimensional_positions(read, ocean):
    source = curvilinear(ocean())
    output = read(source.transpose("time", "depth", "i", "j"), periodic_x=True)
    assert_states_of(output, source)
    np.testing.assert_array_equal(output.grid.longitude[0], 10.0 * np.arange(5) + 5)
    unnamed = source.rename(i="a", j="b").transpose("time", "depth", "a", "b")
    with pytest.raises(UserError, match=r"longitude of .* runs along y and not along x"):
        read(unnamed, periodic_x=True)


def test_dimensions_that_are_too_many(read, ocean):
    source = ocean()
    assert_states_of(read(source.expand_dims("ensemble")), source)
    with pytest.raises(UserError, match=r"thetao of .* has dimensions ensemble, time, depth, lat"):
        read(xr.concat([source, source], dim="ensemble"))
    columns = source.stack(cell=("lat", "lon")).reset_index("cell", drop=True)
    positions = {"lon": ("cell", np.arange(20.0)), "lat": ("cell", np.arange(20.0))}
    with pytest.raises(UserError, match=r"unstructured grids are not supported"):
        read(columns.assign(positions))


def test_the_dimensions_decide_first(read, ocean):
    source = ocean()
    mean = source.thetao.mean(("depth", "lat", "lon"))
    scalar = xr.Dataset({"thetaoga": mean.assign_attrs(source.thetao.attrs)})
    surface = source.thetao.isel(depth=0, drop=True).assign_attrs(source.thetao.attrs)
    assert_states_of(read(scalar.assign(votemper=surface).merge(source)), source)


def test_then_the_name(read, ocean):
    source = ocean()
    least = xr.Dataset({"thetao_min": source.thetao - 1}).assign_coords(source.coords)
    least["thetao_min"].attrs = source.thetao.attrs
    assert_states_of(read(least.assign(thetao=source.thetao, so=source.so)), source)


def test_then_the_coordinates_attribute(read, ocean):
    source = curvilinear(ocean())
    names = {"longitude": "nav_lon_grid_T", "latitude": "nav_lat_grid_T"}
    on_t = source.rename(names)
    on_u = {
        "nav_lon_grid_U": on_t.nav_lon_grid_T + 5,
        "nav_lat_grid_U": on_t.nav_lat_grid_T + 0.0,
    }
    two_grids = xr.Dataset(on_u).merge(on_t)
    for name, kind in (("nav_lon_grid_U", "longitude"), ("nav_lat_grid_U", "latitude")):
        two_grids[name].attrs["standard_name"] = kind
    with pytest.raises(UserError, match=r"nav_lon_grid_U and nav_lon_grid_T, which could each be"):
        read(two_grids, reader=NemoReader)
    two_grids["thetao"].attrs["coordinates"] = "nav_lat_grid_T nav_lon_grid_T"
    output = read(two_grids, reader=NemoReader)
    np.testing.assert_array_equal(output.grid.longitude, source.longitude)


def test_two_that_remain_are_named(read, ocean):
    source = ocean()
    both = source.rename(thetao="warm").assign(cold=source.thetao - 1)
    both["cold"].attrs = source.thetao.attrs
    with pytest.raises(UserError, match=r"has warm and cold, which could each be the temperature"):
        read(both)
    named = read(both, variables=Variables(temperature="warm"))
    assert_states_of(named, source)
    levels = source.assign(ssh=(source.zos + 1).drop_attrs(), zos=source.zos.drop_attrs())
    with pytest.raises(
        UserError, match=r"zos and ssh, .* name the one to .*ingest.variables.sea_level"
    ):
        read(levels)
    none = read(levels, variables=Variables(sea_level="none"))
    assert none.sea_level is None


def test_thickness_of_another_grid_is_not_the_cells(read, ocean):
    source = ocean()
    between = np.full((6, 3, 4, 5), 5.0)
    dims = ("time", "depthw", "lat", "lon")
    other = source.assign(e3w=(dims, between, {"standard_name": "cell_thickness"}))
    np.testing.assert_allclose(read(other).grid.thickness[:, 3, 3], [30, 95, 150])
    with pytest.raises(UserError, match=r"e3t of .* has dimensions depthw: .*set it to none"):
        read(other.drop_vars("e3w").assign(e3t=("depthw", np.ones(2))))


def test_a_mask_on_a_level_dimension_of_another_name(read, ocean):
    source = ocean()
    wet = np.isfinite(source.thetao.values[0])
    mask = (("nav_lev", "lat", "lon"), wet.astype("i1"))
    np.testing.assert_array_equal(read(source.fillna(0).assign(tmask=mask)).grid.wet, wet)


def test_constants_repeated_over_time(read, ocean):
    source = curvilinear(ocean())
    bounds = np.array([[0, 30.0], [30, 125], [125, 600]])
    source["depth_bnds"] = (("depth", "bnds"), bounds)
    source.depth.attrs["bounds"] = "depth_bnds"
    wet = np.isfinite(source.thetao.values[0])
    source["mask"] = (("depth", "j", "i"), wet.astype("i1"))
    source["areacello"] = (("j", "i"), np.full((4, 5), 1e12))
    halves = [source.isel(time=slice(3)), source.isel(time=slice(3, 6))]
    joined = xr.concat(halves, dim="time", data_vars="all")
    for name in ("longitude", "depth_bnds", "mask", "areacello"):
        assert joined[name].dims[0] == "time"
    repeated, plain = read(joined).grid, read(source).grid
    for name in ("longitude", "thickness", "wet", "area"):
        np.testing.assert_array_equal(getattr(repeated, name), getattr(plain, name))
    np.testing.assert_array_equal(plain.thickness[:, 3, 3], THICKNESS)
    joined["mask"][4, 0, 3, 3] = 0
    with pytest.raises(UserError, match=r"mask of .* changes along time \(record 4\)"):
        read(joined)


def test_a_mask_of_columns_is_combined_with_nan(read, ocean):
    source = ocean()
    wet = np.isfinite(source.thetao.values[0])
    columns = wet[0].copy()
    columns[3, 4] = False  # a lake
    output = read(source.assign(wet=(("lat", "lon"), columns.astype("f4"))))
    np.testing.assert_array_equal(output.grid.wet, wet & columns)
    zero = read(source.fillna(0).assign(wet=(("lat", "lon"), columns.astype("f4"))))
    np.testing.assert_array_equal(zero.grid.wet, wet & columns)


def pop(source):
    """As POP names its output, land 0, with the positions of both grids."""
    wet = np.isfinite(source.thetao.values[0])
    names = {"thetao": "TEMP", "so": "SALT", "zos": "SSH", "depth": "z_t"}
    output = curvilinear(source).rename(names).rename(i="nlon", j="nlat").fillna(0).drop_attrs()
    on_t = output.rename(longitude="TLONG", latitude="TLAT")
    maps = {
        "ULONG": (("nlat", "nlon"), on_t.TLONG.values + 5),
        "ULAT": (("nlat", "nlon"), on_t.TLAT.values + 5),
        "KMT": (("nlat", "nlon"), wet.sum(0)),
        "TAREA": (("nlat", "nlon"), np.full((4, 5), 1e12)),
        "dz": ("z_t", THICKNESS),
    }
    return on_t.assign(maps)


def test_names_of_pop(read, ocean):
    source = ocean()
    output = read(pop(source))
    assert_states_of(output, source)
    np.testing.assert_array_equal(output.grid.wet, np.isfinite(source.thetao.values[0]))
    np.testing.assert_array_equal(output.grid.thickness[:, 3, 3], THICKNESS)
    np.testing.assert_array_equal(output.grid.longitude[0], source.lon)


def xmitgcm(source):
    """As xmitgcm names MITgcm's output: negative depths, land 0, partial cells."""
    wet = np.isfinite(source.thetao.values[0])
    open_part = wet.astype("f4")
    open_part[1, 3] = 0.5
    names = {"thetao": "THETA", "so": "SALT", "zos": "ETAN", "depth": "Z", "lat": "YC", "lon": "XC"}
    output = source.fillna(0).rename(names).drop_attrs()
    output["Z"] = ("Z", -source.depth.values, {"units": "m", "positive": "down"})
    return output.assign(
        drF=("Z", THICKNESS),
        hFacC=(("Z", "YC", "XC"), open_part),
        rA=(("YC", "XC"), np.full((4, 5), 1e12)),
    )


@pytest.mark.parametrize("options", [{"reader": MitgcmReader}, {"depth_positive": "up"}])
def test_partial_cells_as_xmitgcm_names_them(read, ocean, options):
    source = ocean()
    output = read(xmitgcm(source), **options)
    assert_states_of(output, source)
    np.testing.assert_array_equal(output.grid.depth, source.depth)
    np.testing.assert_allclose(output.grid.thickness[:, 3, 3], [30, 47.5, 475])
    np.testing.assert_array_equal(output.grid.wet, np.isfinite(source.thetao.values[0]))


def test_an_open_part_without_the_height_of_levels(read, ocean):
    with pytest.raises(UserError, match=r"hFacC, but not the thickness of its levels \(drF\)"):
        read(xmitgcm(ocean()).drop_vars("drF"), reader=MitgcmReader)


def test_sizes_that_hold_no_ocean(read, ocean):
    source = ocean()
    with pytest.raises(UserError, match=r"no values along time: the model has not written a state"):
        read(source.isel(time=slice(0)))
    with pytest.raises(UserError, match=r"4 rows and 1 columns and no cell areas: the width"):
        read(source.isel(lon=[3]))
    with pytest.raises(UserError, match=r"depth of .* expected one value a level"):
        read(source.isel(depth=[0]))
    slice_with_areas = source.isel(lon=[3])
    slice_with_areas["areacello"] = (("lat", "lon"), np.full((4, 1), 1e12))
    assert read(slice_with_areas).grid.shape == (3, 4, 1)


def test_times_that_are_no_numbers(read, ocean):
    source = ocean()
    words = source.assign_coords(time=("time", [f"year {n}" for n in range(6)]))
    with pytest.raises(UserError, match=r"time of .* no numbers, such as year 0"):
        read(words)
