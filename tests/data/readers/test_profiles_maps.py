"""Maps of observations: points and means over cells, land, times, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from data.readers.profiles import read_observations

EQUATION = "nemo-eos80"
DEFAULTS = {"temperature": 0.1, "salinity": 0.02, "sea_level": 0.03}
SST = np.array([[np.nan, 11.0, 12.0], [13.0, 14.0, 15.0]])
NAME = {"standard_name": "sea_surface_temperature", "units": "degC"}
TIME = {"units": "days since 2000-01-01", "standard_name": "time"}


def sea_surface(times=1, *, name=NAME, **attributes):
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), np.stack([SST] * times), name | attributes)},
        coords={
            "time": ("time", 31.0 * np.arange(times), TIME),
            "lat": ("lat", [-2.0, 2.0], {"units": "degrees_north"}),
            "lon": ("lon", [355.0, 0.0, 5.0], {"units": "degrees_east"}),
        },
    )


def read(folder, dataset, *, equation=EQUATION, convert=False):
    path = folder / "map.nc"
    dataset.to_netcdf(path)
    return read_observations(path, equation_of_state=equation, errors=DEFAULTS, convert=convert)


def test_wet_values_are_points(tmp_path):
    observed, left_out, units = read(tmp_path, sea_surface())
    assert (left_out, units) == (0, "degrees")  # land is nothing that was left out
    np.testing.assert_allclose(observed.value, [11, 12, 13, 14, 15])
    np.testing.assert_allclose(observed.longitude % 360, [0, 5, 355, 0, 5])
    np.testing.assert_allclose(observed.latitude, [-2, -2, 2, 2, 2])
    for column in (observed.top, observed.bottom, observed.width, observed.height):
        np.testing.assert_array_equal(column, 0)
    assert set(observed.profile) == {0}


def test_means_over_cells_by_their_method(tmp_path):
    observed = read(tmp_path, sea_surface(cell_methods="area: mean time: mean")).observations
    np.testing.assert_allclose(observed.width, 5)
    np.testing.assert_allclose(observed.height, 4)
    np.testing.assert_allclose(observed.longitude % 360, [0, 5, 355, 0, 5])


def bounded(**attributes):
    dataset = sea_surface(**attributes)
    dataset.lon.attrs["bounds"], dataset.lat.attrs["bounds"] = "lon_bnds", "lat_bnds"
    return dataset.assign(
        lon_bnds=(("lon", "two"), [[353.0, 357], [359, 1], [4, 6]]),
        lat_bnds=(("lat", "two"), [[-3.0, -1], [1, 3]]),
    )


def test_means_over_cells_by_their_bounds(tmp_path):
    observed = read(tmp_path, bounded()).observations
    np.testing.assert_allclose(observed.width, [2, 2, 4, 2, 2])
    np.testing.assert_allclose(observed.height, 2)
    np.testing.assert_allclose(observed.longitude % 360, [0, 5, 355, 0, 5])
    points = read(tmp_path, bounded(cell_methods="area: point")).observations
    np.testing.assert_array_equal(points.width, 0)


def test_levels_and_sea_level_of_one_file(tmp_path):
    dataset = sea_surface().squeeze("time", drop=True)
    salinity = {"standard_name": "sea_water_practical_salinity", "units": "1e-3"}
    height = {"standard_name": "sea_surface_height_above_geoid", "units": "cm"}
    dataset["salt"] = ("z", "lat", "lon"), 34 + np.zeros((2, 2, 3)), salinity
    dataset["adt"] = ("lat", "lon"), 50 + np.zeros((2, 3)), height
    dataset["adt_error"] = ("lat", "lon"), 2 + np.zeros((2, 3)), {"units": "cm"}
    dataset["z"] = "z", [10.0, 100.0], {"standard_name": "depth", "units": "m", "bounds": "z_b"}
    dataset["z_b"] = ("z", "two"), [[0.0, 20], [20, 180]]
    observed = read(tmp_path, dataset).observations
    counts = {name: int((observed.quantity == name).sum()) for name in DEFAULTS}
    assert counts == {"temperature": 5, "salinity": 12, "sea_level": 6}
    salt = observed.at(observed.quantity == "salinity")
    np.testing.assert_allclose(salt.bottom, [20] * 6 + [180] * 6)
    level = observed.at(observed.quantity == "sea_level")
    np.testing.assert_allclose(level.value, 0.5)
    np.testing.assert_allclose(level.error, 0.02)


def test_surface_temperature_is_potential_and_converted_to_conservative(tmp_path):
    with pytest.raises(UserError, match=r"has potential temperature .* nemo-teos10 takes"):
        read(tmp_path, sea_surface(), equation="nemo-teos10")
    observed = read(tmp_path, sea_surface(), equation="nemo-teos10", convert=True).observations
    np.testing.assert_allclose(observed.value, [11, 12, 13, 14, 15], atol=0.02)


def test_curvilinear_maps_are_points(tmp_path):
    dataset = sea_surface(cell_methods="area: mean").rename(lat="y", lon="x")
    dataset = dataset.drop_vars(["x", "y"]).assign_coords(
        lon=(("y", "x"), [[1.0, 2, 3], [2, 3, 4]], {"units": "degrees_east"}),
        lat=(("y", "x"), [[5.0, 5, 5], [6, 6, 7]], {"units": "degrees_north"}),
    )
    observed = read(tmp_path, dataset).observations
    np.testing.assert_allclose(observed.longitude, [2, 3, 2, 3, 4])
    np.testing.assert_allclose(observed.latitude, [5, 5, 6, 6, 7])
    np.testing.assert_array_equal(observed.width, 0)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (sea_surface(3), r"sst of .* has 3 times \(2000-01-01 to 2000-03-03\): expected one"),
        (
            sea_surface().isel(lon=0, time=0, drop=True).assign_coords(lon=3.0),
            "sst of .* is on lat: expected a map .* featureType",
        ),
        (sea_surface(units="m"), 'sst of .* is in "m": expected degC or K'),
        (sea_surface(long_name="temperature anomaly"), "is an anomaly"),
        (sea_surface().where(False), "has no observed value"),
        (sea_surface(name={"units": "degC"}), "has no temperature, salinity or sea level"),
        (sea_surface(units="K"), "sst of .* is -262.15 at longitude 0, latitude -2"),
    ],
)
def test_refused_in_one_sentence(tmp_path, dataset, message):
    with pytest.raises(UserError, match=message) as refusal:
        read(tmp_path, dataset)
    assert "map.nc" in str(refusal.value) and "\n" not in str(refusal.value)
