"""Observations in text files: both forms, points and means, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.readers.profiles import read_observations

EQUATION = "nemo-eos80"
DEFAULTS = {"temperature": 0.1, "salinity": 0.02, "sea_level": 0.03}


def read(folder, text, *, errors=DEFAULTS, **options):
    path = folder / "observed.csv"
    path.write_text(text)
    return read_observations(path, equation_of_state=EQUATION, errors=errors, **options)


def test_long_form(tmp_path):
    observed, left_out, units = read(
        tmp_path,
        '# a cruise, "unfinished\n'
        "lon,lat,depth,quantity,value,error\n"
        "10,50,5,temperature,12.5,0.2\n"
        "\n"
        "10,50,5,salinity,35.1,\n"
        "10,50,100,temperature,nan,\n"
        "-20,40,,sea_level,0.4,0.05\n",
    )
    assert (left_out, units) == (1, "degrees")
    assert observed.quantity.tolist() == ["temperature", "salinity", "sea_level"]
    np.testing.assert_allclose(observed.value, [12.5, 35.1, 0.4])
    np.testing.assert_allclose(observed.error, [0.2, 0.02, 0.05])
    np.testing.assert_allclose(observed.longitude, [10, 10, -20])
    np.testing.assert_allclose(observed.latitude, [50, 50, 40])
    np.testing.assert_allclose(observed.top, [5, 5, 0])
    np.testing.assert_allclose(observed.bottom, [5, 5, 0])
    assert observed.profile.tolist() == [0, 0, 1]


def test_wide_form_of_layers_and_boxes_on_a_plane(tmp_path):
    observed, left_out, units = read(
        tmp_path,
        "x, y, depth_top, depth_bottom, width, height, profile, temperature, salinity, "
        "salinity_error\n"
        "100, 200, 0, 50, 20, 30, west, 8, 34, 0.5\n"
        "300, 200, 50, 100, , , east, 7, NaN, 0.5\n"
        "100, 200, 50, 80, 20, 30, west, , 34.5, 0.5\n",
    )
    assert (left_out, units) == (1, "km")
    assert observed.quantity.tolist() == ["temperature", "salinity", "temperature", "salinity"]
    np.testing.assert_allclose(observed.value, [8, 34, 7, 34.5])
    np.testing.assert_allclose(observed.error, [0.1, 0.5, 0.1, 0.5])
    np.testing.assert_allclose(observed.bottom, [50, 50, 100, 80])
    np.testing.assert_allclose(observed.width, [20, 20, 0, 20])
    np.testing.assert_allclose(observed.height, [30, 30, 0, 30])
    assert observed.profile.tolist() == [0, 0, 1, 0]


def test_repeated_measurements_are_all_read(tmp_path):
    observed = read(
        tmp_path,
        "lon,lat,depth,quantity,value\n"
        "1,2,3,salinity,35\n1,2,3,salinity,36\n1,2,3,temperature,4\n1,2,3,salinity,37\n",
    ).observations
    assert sorted(observed.value) == [4, 35, 36, 37]
    assert set(observed.profile) == {0}


POINT = "lon,lat,depth,temperature\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows of values"),
        (POINT, "has no rows of values"),
        (POINT + "1,2,3,nan\n", "no observed value"),
        (POINT + "1,2,3,warm\n", "line 2 of .* has 'warm' as temperature: expected a number"),
        ("# text\n" + POINT + "1,2,3,4\n\n1,2,3,inf\n", "line 5 of .* has 'inf'"),
        (POINT + "1,2,3\n", "line 2 of .* has 3 cells: expected 4"),
        (POINT + "1,,3,4\n", "1 of 1 values of temperature in .* have no latitude"),
        (POINT + "1,2,,4\n", "have no depth"),
        (POINT + "1,91,3,4\n", "latitudes from -90 to 90"),
        (POINT + "1,2,-3,4\n", "expected metres, positive down"),
        (POINT + "1,2,3,290\n", "is 290 at longitude 1.* expected -5 to 50 degC"),
        ("lon,lat,depth,salinity\n1,2,3,350\n", "is 350 .* expected -0.5 to 60"),
        ("lon,lat,depth,salinity\n1,2,3,0.035\n", "multiply kg/kg by 1000"),
        ("lon;lat;depth;temperature\n1;2;3;4\n", "unknown column 'lon;lat;depth;temperature'"),
        ("lon,lat,depth,temprature\n1,2,3,4\n", "did you mean temperature"),
        ("lon,lat,temperature\n1,2,3\n", "have no depth"),
        ("lat,depth,temperature\n1,2,3\n", "expected longitude and latitude in degrees"),
        ("lon,lat,depth\n1,2,3\n", "expected quantity and value, or temperature"),
        ("lon,lat,depth,value\n1,2,3,4\n", "expected both quantity and value"),
        ("lon,lat,depth_top,temperature\n1,2,3,4\n", "expected both depth_top and depth_bottom"),
        ("lon,lat,depth,lon,temperature\n1,2,3,1,4\n", "two columns 'lon'"),
        ("lon,lat,depth,pressure,temperature\n1,2,3,3,4\n", "expected one or the other"),
        ("lon,lat,depth,quantity,value\n1,2,3,oxygen,4\n", "line 2 of .* quantity 'oxygen'"),
        ("lon,lat,width,sea_level\n1,2,-3,0.4\n", "line 2 of .* width below 0"),
        ("lon,lat,depth_top,depth_bottom,temperature\n1,2,50,20,4\n", "50 to 20 m"),
        (POINT.replace("\n", ",temperature_error\n") + "1,2,3,4,0\n", "standard deviations above"),
        ("lon,lat,pressure,temperature\n1,2,3,4\n", "has pressure .*: give --convert"),
        ("lon,lat,depth,in_situ_temperature\n1,2,3,4\n", "in-situ temperature .* but nemo-eos80"),
        ("lon,lat,depth,absolute_salinity\n1,2,3,4\n", "absolute salinity .* takes .* practical"),
    ],
)
def test_refused_in_one_sentence(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as refusal:
        read(tmp_path, text)
    assert "observed.csv" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_value_without_any_error_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"give a default, as in --assimilation.errors.temperature 0.1"
    ):
        read(tmp_path, POINT + "1,2,3,4\n", errors={"salinity": 0.1})


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "observed.csv"
    with pytest.raises(UserError, match="does not exist"):
        read_observations(path, equation_of_state=EQUATION, errors=DEFAULTS)
    path.write_bytes(b"\xff\xfe\x00\x81" * 20)
    with pytest.raises(UserError, match="expected comma-separated values in UTF-8"):
        read_observations(path, equation_of_state=EQUATION, errors=DEFAULTS)
