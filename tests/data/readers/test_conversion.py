"""Units: read and converted for every field, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from data.units import LENGTHS, SALINITIES, factor, is_kelvin

PLAIN = ("thetao", "so", "zos")


def scaled(dataset, name, factor, offset=0.0, **attributes):
    field = dataset[name]
    return dataset.assign({name: (factor * field + offset).assign_attrs(field.attrs | attributes)})


@pytest.mark.parametrize(
    ("name", "factor", "offset", "units"),
    [
        ("so", 1e-3, 0, "kg/kg"),
        ("so", 1e-3, 0, "kg kg-1"),
        ("so", 1, 0, "PSU"),
        ("so", 1, 0, "g kg-1"),
        ("so", 1, 0, "gram/kilogram"),  # POP
        ("so", 1e-3, 0, "kg kg⁻¹"),
        ("zos", 100, 0, "centimeter"),
        ("zos", 1000, 0, "mm"),
        ("thetao", 1, 273.15, "degrees K"),
        ("thetao", 1, 273.15, "kelvin"),
        ("thetao", 1, 0, "deg_C"),
        ("thetao", 1, 0, "°C"),
        ("depth", 100, 0, "centimeters"),
        ("depth", 1e-3, 0, "km"),
    ],
)
def test_units_that_are_known_are_converted(ocean, into_archive, name, factor, offset, units):
    archive = into_archive(scaled(ocean(), name, factor, offset, units=units))
    expected = ocean()
    np.testing.assert_allclose(archive.grid.depth, expected.depth)
    read = archive.read([4])
    fields = {"thetao": read.temperature, "so": read.salinity, "zos": read.sea_level}
    for field, values in fields.items():
        np.testing.assert_allclose(values[0], expected[field][4].fillna(0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "units",
    [
        *("gram/kilogram", "gm/kg", "g.kg-1", "grams per kilogram", "g kg**-1", "gram kilogram^-1"),
        *(
            "psu",
            "PSU",
            "[psu]",
            "ppt",
            "PSS-78",
            "1E-03",
            "0.001",
            "10^-3",
            "1.0",
            "parts per thousand",
        ),
    ],
)
def test_salinity_by_any_spelling(units):
    attributes = {"units": units}
    read = factor(attributes, SALINITIES, quantity="so", path=Path("a.nc"), expected="g/kg")
    assert read == 1


@pytest.mark.parametrize(
    "units",
    [
        *("Celsius", "degrees Celsius", "deg C", "C", "degreesC", "degree_C", "celcius", "oC"),
        *("degrees (C)", "degree_centigrade", "deg. C", "℃"),
    ],
)
def test_celsius_by_any_spelling(units):
    assert is_kelvin(units) is False


@pytest.mark.parametrize(
    ("units", "metres"),
    [
        ("metre", 1),
        ("meters", 1),
        ("M", 1),
        ("centimeter", 0.01),
        ("cm", 0.01),
        ("kilometers", 1e3),
    ],
)
def test_length_by_any_spelling(units, metres):
    attributes = {"units": units}
    assert factor(attributes, LENGTHS, quantity="z", path=Path("a.nc"), expected="m") == metres


@pytest.mark.parametrize(
    ("name", "units", "sentence"),
    [
        ("thetao", "degF", r'temperature of .* is in "degF": expected degC or K'),
        ("so", "kg m-3", r'salinity of .* is in "kg m-3": expected 1e-3, g/kg or kg/kg'),
        ("zos", "Pa", r'sea level of .* is in "Pa": expected m or cm'),
        ("depth", "fathoms", r'depth of .* is in "fathoms": expected m'),
        ("depth", "dbar", r"vertical coordinate of .* is a pressure, not depth"),
        ("lat", "furlong", r'lat of .* is in "furlong": expected degrees, radians, m or km'),
        ("lat", "km", r"lon of .* is in degrees, lat in km"),
    ],
)
def test_other_units_are_refused(ocean, into_archive, name, units, sentence):
    source = ocean()
    source[name].attrs["units"] = units
    with pytest.raises(UserError, match=sentence):
        into_archive(source)


@pytest.mark.parametrize(
    ("name", "factor", "offset", "sentence"),
    [
        ("so", 1e-3, 0, r"salinity of state 0 of .* median of 0\.035: .*multiply kg/kg by 1000"),
        ("zos", 100, 0, r"has zos outside -20 to 20 m.*divide centimetres by 100"),
        ("thetao", 1, 273.15, r"temperature of .* is in kelvin .*temperature_units: K to convert"),
        ("depth", 100, 0, r"depth of .* is 1000 to 300000 m, which no ocean is"),
    ],
)
def test_values_in_units_that_are_not_stated(ocean, into_archive, name, factor, offset, sentence):
    with pytest.raises(UserError, match=sentence):
        into_archive(scaled(ocean(), name, factor, offset))


def test_kelvin_by_the_setting_alone_is_held_against_the_values(ocean, into_archive):
    warm = scaled(ocean(), "thetao", 1, 273.15)
    read = into_archive(warm, temperature_units="K").read([0]).temperature[0]
    np.testing.assert_allclose(read, ocean().thetao[0].fillna(0), atol=1e-4)
    with pytest.raises(UserError, match=r"in degC .*: remove data.ingest.temperature_units: K"):
        into_archive(ocean(), temperature_units="K")


def test_thickness_area_and_bounds_have_units(ocean, into_archive):
    bounds = np.array([[0, 30], [30, 125], [125, 600], [600, 2000], [2000, 4000.0]])
    source = ocean().assign(
        dz=("depth", 100 * np.diff(bounds)[:, 0], {"units": "centimeters"}),
        areacello=(("lat", "lon"), np.full((6, 8), 1.2e6), {"units": "km2"}),
    )
    grid = into_archive(source).grid
    np.testing.assert_allclose(grid.thickness[:, 5, 7], np.diff(bounds)[:, 0])
    np.testing.assert_allclose(grid.area, 1.2e12)


def test_bounds_have_the_units_of_their_depths(ocean, into_archive):
    bounds = np.array([[0, 30], [30, 125], [125, 600], [600, 2000], [2000, 4000.0]])
    source = scaled(ocean(), "depth", 100, units="cm", bounds="depth_bnds")
    source["depth_bnds"] = (("depth", "nv"), 100 * bounds)
    grid = into_archive(source).grid
    np.testing.assert_allclose(grid.thickness[:, 5, 7], np.diff(bounds)[:, 0])


@pytest.mark.parametrize(
    "thickness", [[3e3, 9.5e3, 47.5e3, 140e3, 200e3], [2e3, 1.4e3, 475, 95, 30]]
)
def test_thickness_that_does_not_fit_the_depths(ocean, into_archive, thickness):
    with pytest.raises(UserError, match=r"thickness of .* does not fit its depths: level 0"):
        into_archive(ocean().assign(dz=("depth", np.array(thickness, float))))


def test_radians_become_degrees(ocean, into_archive):
    source = ocean()
    for name in ("lon", "lat"):
        radians = (name, np.deg2rad(source[name].values), {"units": "radians"})
        source = source.assign_coords({name: radians})
    np.testing.assert_allclose(into_archive(source).grid.latitude, ocean().lat)
