"""Discrete sampling geometries of CF: one small ocean written in each of their forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from data.readers.profiles import read_observations

EQUATION = "nemo-eos80"
DEFAULTS = {"temperature": 0.1, "salinity": 0.02, "sea_level": 0.03}
KELVIN = 273.15

LONGITUDE, LATITUDE, SIZES = [10.0, 20.0, 30.0], [-5.0, 0.0, 5.0], [2, 1, 3]
DEPTH = [5.0, 50.0, 7.0, 1.0, 2.0, 30.0]
TEMPERATURE = [20.0, 15.0, 21.0, 25.0, 24.0, 10.0]
SALINITY = [35.0, 35.5, 34.0, 33.0, 33.5, 34.9]
PROFILE = [0, 0, 1, 2, 2, 2]

T = {"standard_name": "sea_water_potential_temperature", "units": "degC"}
S = {"standard_name": "sea_water_practical_salinity", "units": "1"}
Z = {"standard_name": "depth", "units": "m", "positive": "down"}
X = {"standard_name": "longitude", "units": "degrees_east"}
Y = {"standard_name": "latitude", "units": "degrees_north"}


def ragged(**variables):
    """Contiguous or indexed, by the variable that is added."""
    return xr.Dataset(
        {
            "temp": ("obs", TEMPERATURE, T),
            "psal": ("obs", SALINITY, S),
            "z": ("obs", DEPTH, Z),
            "lon": ("profile", LONGITUDE, X),
            "lat": ("profile", LATITUDE, Y),
            **variables,
        },
        attrs={"featureType": "profile"},
    )


def contiguous():
    return ragged(row_size=("profile", SIZES, {"sample_dimension": "obs"}))


def indexed():
    return ragged(index=("obs", PROFILE, {"instance_dimension": "profile"}))


def padded(values):
    table = np.full((3, 3), np.nan)
    for number in range(3):
        own = np.array(values)[np.array(PROFILE) == number]
        table[number, : len(own)] = own
    return table


def incomplete():
    """Each profile has depths of its own, and levels that it does not reach."""
    return xr.Dataset(
        {
            "temp": (("profile", "level"), padded(TEMPERATURE), T),
            "psal": (("profile", "level"), padded(SALINITY), S),
            "z": (("profile", "level"), padded(DEPTH), Z),
            "lon": ("profile", LONGITUDE, X),
            "lat": ("profile", LATITUDE, Y),
        },
        attrs={"featureType": "profile"},
    )


def points():
    index = np.array(PROFILE)
    return ragged(
        lon=("obs", np.array(LONGITUDE)[index], X), lat=("obs", np.array(LATITUDE)[index], Y)
    ).assign_attrs(featureType="point")


def section():
    """As `contiguous`, with two ships: the last profile is of another one than the others."""
    added = {
        "ship": ("trajectory", [7, 9], {"cf_role": "trajectory_id"}),
        "of_ship": ("profile", [0, 0, 1], {"instance_dimension": "trajectory"}),
    }
    return contiguous().assign(added).assign_attrs(featureType="trajectoryProfile")


def read(folder, dataset, *, errors=DEFAULTS, equation=EQUATION, convert=False):
    path = folder / "observed.nc"
    dataset.to_netcdf(path)
    return read_observations(path, equation_of_state=equation, errors=errors, convert=convert)


def of(observed, quantity):
    return observed.at(observed.quantity == quantity)


@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (contiguous, PROFILE),
        (indexed, PROFILE),
        (incomplete, PROFILE),
        (points, PROFILE),
        (section, [0, 0, 0, 1, 1, 1]),
    ],
)
def test_every_form_holds_the_same(tmp_path, make, numbers):
    observed, left_out, units = read(tmp_path, make())
    assert (left_out, units) == (0, "degrees")
    for quantity, expected in {"temperature": TEMPERATURE, "salinity": SALINITY}.items():
        one = of(observed, quantity)
        np.testing.assert_allclose(one.value, expected)
        np.testing.assert_allclose(one.top, DEPTH)
        np.testing.assert_allclose(one.bottom, DEPTH)
        np.testing.assert_allclose(one.longitude, np.array(LONGITUDE)[PROFILE])
        np.testing.assert_allclose(one.latitude, np.array(LATITUDE)[PROFILE])
        np.testing.assert_allclose(one.error, DEFAULTS[quantity])
        assert one.profile.tolist() == numbers


def orthogonal():
    return xr.Dataset(
        {
            "temp": (("z", "profile"), [[20.0, 21, 22], [10, np.nan, 12]], T),
            "lon": ("profile", LONGITUDE, X),
            "lat": ("profile", LATITUDE, Y),
        },
        coords={"z": ("z", [-5.0, -50], Z | {"positive": "up", "bounds": "z_bnds"})},
        attrs={"featureType": "profile"},
    ).assign(z_bnds=(("z", "two"), [[0.0, -10], [-90, -10]]))


def test_orthogonal_array_of_layers_counted_upward(tmp_path):
    observed, left_out, _ = read(tmp_path, orthogonal())
    assert left_out == 1
    np.testing.assert_allclose(observed.value, [20, 21, 22, 10, 12])
    np.testing.assert_allclose(observed.top, [0, 0, 0, 10, 10])
    np.testing.assert_allclose(observed.bottom, [10, 10, 10, 90, 90])
    assert observed.profile.tolist() == [0, 1, 2, 0, 2]


def test_section_as_an_array(tmp_path):
    dataset = xr.Dataset(
        {
            "temp": (("ship", "profile", "z"), np.arange(12.0).reshape(2, 3, 2), T),
            "lon": (("ship", "profile"), np.arange(6.0).reshape(2, 3) + 0.5, X),
            "lat": (("ship", "profile"), np.arange(6.0).reshape(2, 3), Y),
            "name": ("ship", ["Sonne", "Meteor"], {"cf_role": "trajectory_id"}),
        },
        coords={"z": ("z", [5.0, 50], Z)},
        attrs={"featureType": "trajectoryProfile"},
    )
    observed = read(tmp_path, dataset).observations
    np.testing.assert_allclose(observed.value, np.arange(12))
    np.testing.assert_allclose(observed.latitude, np.repeat(np.arange(6), 2))
    assert observed.profile.tolist() == [0] * 6 + [1] * 6


def test_a_single_profile_with_sea_level(tmp_path):
    dataset = xr.Dataset(
        {
            "temp": ("z", [20.0, 10], T),
            "ssh": ((), 40.0, {"standard_name": "sea_surface_height_above_geoid", "units": "cm"}),
            "lon": ((), 10.0, X),
            "lat": ((), 20.0, Y),
        },
        coords={"z": ("z", [5.0, 50], Z)},
        attrs={"featureType": "profile"},
    )
    observed = read(tmp_path, dataset).observations
    np.testing.assert_allclose(observed.value, [20, 10, 0.4])
    np.testing.assert_allclose(observed.top, [5, 50, 0])


@pytest.mark.parametrize("found_by", ["ancillary", "temp_error", "temp_ERROR"])
def test_errors_and_units_of_the_file(tmp_path, found_by):
    dataset = contiguous()
    name = "accuracy" if found_by == "ancillary" else found_by
    standard = "sea_water_potential_temperature standard_error"
    attributes = {"units": "K", **({"standard_name": standard} if name == "accuracy" else {})}
    stated = [0.2, 0.3, np.nan, 0.5, 0.6, 0.7]
    kelvin = T | {"units": "K", **({"ancillary_variables": name} if name == "accuracy" else {})}
    dataset["temp"] = "obs", np.array(TEMPERATURE) + KELVIN, kelvin
    observed = read(tmp_path, dataset.assign({name: ("obs", stated, attributes)})).observations
    warm = of(observed, "temperature")
    np.testing.assert_allclose(warm.value, TEMPERATURE)
    np.testing.assert_allclose(warm.error, [0.2, 0.3, 0.1, 0.5, 0.6, 0.7])


def test_flagged_and_missing_values_are_left_out(tmp_path):
    dataset = contiguous()
    meanings = {"flag_values": np.array([0, 1, 4], "i1"), "flag_meanings": "unknown good not_good"}
    flags = xr.Variable("obs", np.array([1, 1, 4, 0, 1, 1], "i1"), meanings)
    dataset["psal"] = "obs", [np.nan, *SALINITY[1:]], S
    observed, left_out, _ = read(tmp_path, dataset.assign(temp_QC=flags))
    assert left_out == 3
    np.testing.assert_allclose(of(observed, "temperature").value, [20, 15, 24, 10])
    np.testing.assert_allclose(of(observed, "salinity").value, SALINITY[1:])


def test_the_kind_that_the_equation_takes_is_read(tmp_path):
    warmer = ("obs", np.array(TEMPERATURE) + 1, T | {"standard_name": "sea_water_temperature"})
    observed = read(tmp_path, contiguous().assign(in_situ=warmer)).observations
    np.testing.assert_allclose(of(observed, "temperature").value, TEMPERATURE)


def test_pressure_and_kinds_are_converted_on_request(tmp_path):
    dataset = contiguous().rename(z="pressure")
    dataset.pressure.attrs = {"standard_name": "sea_water_pressure", "units": "dbar"}
    with pytest.raises(UserError, match=r"has pressure .* at depths in m: give --convert"):
        read(tmp_path, dataset)
    observed = read(tmp_path, dataset, convert=True).observations
    np.testing.assert_allclose(of(observed, "temperature").value, TEMPERATURE)
    np.testing.assert_allclose(of(observed, "temperature").top, DEPTH, rtol=0.01)
    assert (of(observed, "temperature").top < DEPTH).all()


def with_attributes(name, **attributes):
    dataset = contiguous()
    dataset[name].attrs.update(attributes)
    return dataset


def with_values(name, values):
    dataset = contiguous()
    dataset[name] = dataset[name].dims, values, dataset[name].attrs
    return dataset


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (contiguous().assign_attrs(featureType="timeSeries"), "has featureType 'timeSeries'"),
        (with_values("row_size", [2, 2, 3]), "counts 7 samples along obs and has 6"),
        (
            ragged(index=("obs", [0, 0, 1, 2, 2, 3], {"instance_dimension": "profile"})),
            "refers 1 samples to features that are not among the 3",
        ),
        (contiguous().drop_vars(["temp", "psal"]), "has no temperature, salinity or sea level"),
        (contiguous().drop_vars("lat"), "has no latitude on the dimensions of"),
        (contiguous().drop_vars("z"), "has no depth on the dimensions of"),
        (with_values("temp", [np.nan] * 6).drop_vars("psal"), "has no observed value"),
        (with_values("lon", [10, np.nan, 20]), "1 of 6 values of temp in .* no longitude"),
        (with_values("lat", [10, 95, 20]), "latitudes from -90 to 90"),
        (with_values("psal", [350.0] * 6), "psal of .* is 350"),
        (with_attributes("temp", units="mV"), 'temp of .* is in "mV": expected degC or K'),
        (with_attributes("psal", units="mV"), 'salinity of .* is in "mV"'),
        (with_attributes("z", units="s"), 'depth of .* is in "s": expected m'),
        (with_attributes("z", positive="up"), "expected metres, positive down"),
        (
            with_attributes("temp", standard_name="sea_water_temperature"),
            "has in-situ temperature .* but nemo-eos80 takes potential temperature",
        ),
        (
            with_attributes("psal", standard_name="sea_water_absolute_salinity"),
            "has absolute salinity .* practical salinity",
        ),
        (
            contiguous().assign(temp=("obs", TEMPERATURE, {"units": "degC"})),
            "temp of .* does not state which temperature it is",
        ),
        (with_attributes("temp", long_name="anomaly of T"), "temp of .* is an anomaly"),
        (
            contiguous().assign(again=("obs", TEMPERATURE, T)),
            "has temp and again, which are each temperature",
        ),
        (
            contiguous().assign(depth=("obs", SALINITY, Z)),
            "has z and depth, which could each be the depth",
        ),
    ],
)
def test_refused_in_one_sentence(tmp_path, dataset, message):
    with pytest.raises(UserError, match=message) as refusal:
        read(tmp_path, dataset)
    assert "observed.nc" in str(refusal.value) and "\n" not in str(refusal.value)


def test_practical_salinity_for_an_equation_of_absolute_salinity(tmp_path):
    conservative = T | {"standard_name": "sea_water_conservative_temperature"}
    dataset = contiguous().assign(temp=("obs", TEMPERATURE, conservative))
    with pytest.raises(UserError, match=r"has practical salinity .* absolute salinity"):
        read(tmp_path, dataset, equation="nemo-teos10")
    in_psu = dataset.assign(
        psal=("obs", SALINITY, {"standard_name": "sea_water_salinity", "units": "psu"})
    )
    with pytest.raises(UserError, match="has practical salinity"):
        read(tmp_path, in_psu, equation="nemo-teos10")


def test_files_that_are_no_netcdf_are_refused(tmp_path):
    path = tmp_path / "observed.nc"
    path.write_bytes(b"no NetCDF at all")
    with pytest.raises(UserError, match="expected NetCDF or zarr"):
        read_observations(path, equation_of_state=EQUATION, errors=DEFAULTS)
