"""Conversion of observations by TEOS-10 against its published check values, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.readers.profiles import read_observations

# The examples of gsw_SA_from_SP, gsw_CT_from_t, gsw_pt0_from_t and gsw_z_from_p in the manual of
# the Gibbs-SeaWater toolbox, for a profile at 188 E, 4 N.
PRESSURE = [10, 50, 125, 250, 600, 1000]
PRACTICAL = [34.5487, 34.7275, 34.8605, 34.6810, 34.5680, 34.5600]
ABSOLUTE = [34.711778, 34.891523, 35.025545, 34.847229, 34.736628, 34.732363]
IN_SITU = [28.7856, 28.4329, 22.8103, 10.2600, 6.8863, 4.4036]
CONSERVATIVE = [28.809920, 28.439228, 22.786177, 10.226189, 6.827214, 4.323576]
POTENTIAL = [28.783197, 28.420983, 22.784930, 10.230524, 6.829230, 4.324511]
DEPTH = [9.944583, 49.718090, 124.272622, 248.470058, 595.825348, 992.091906]
DEFAULTS = {"temperature": 0.1, "salinity": 0.02, "sea_level": 0.03}


def read(folder, columns, equation, *, convert=True):
    path = folder / "observed.csv"
    place = {"lon": [188] * 6, "lat": [4] * 6}
    columns = place | columns
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]))
    return read_observations(
        path, equation_of_state=equation, errors=DEFAULTS, convert=convert
    ).observations


@pytest.mark.parametrize(
    ("equation", "temperature", "salinity"),
    [("nemo-teos10", CONSERVATIVE, ABSOLUTE), ("jmd95", POTENTIAL, PRACTICAL)],
)
@pytest.mark.parametrize("vertical", ["pressure", "depth"])
@pytest.mark.parametrize("kind", ["practical_salinity", "absolute_salinity"])
def test_check_values(tmp_path, equation, temperature, salinity, vertical, kind):
    columns = {
        vertical: PRESSURE if vertical == "pressure" else DEPTH,
        "in_situ_temperature": IN_SITU,
        kind: PRACTICAL if kind == "practical_salinity" else ABSOLUTE,
    }
    observed = read(tmp_path, columns, equation)
    warm, salt = (observed.at(observed.quantity == name) for name in ("temperature", "salinity"))
    np.testing.assert_allclose(warm.value, temperature, rtol=0, atol=2e-5)  # SA was rounded
    # The table of salinity anomalies has been revised since; without it 0.01 would be missing.
    np.testing.assert_allclose(salt.value, salinity, rtol=0, atol=1e-4)
    np.testing.assert_allclose(warm.depth, DEPTH, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "kind", "given", "expected"),
    [
        ("veros-gsw", "potential_temperature", POTENTIAL, CONSERVATIVE),
        ("linear", "conservative_temperature", CONSERVATIVE, POTENTIAL),
    ],
)
def test_potential_and_conservative_temperature(tmp_path, equation, kind, given, expected):
    columns = {"depth": DEPTH, kind: given, "absolute_salinity": ABSOLUTE}
    observed = read(tmp_path, columns, equation)
    warm = observed.at(observed.quantity == "temperature")
    np.testing.assert_allclose(warm.value, expected, rtol=0, atol=2e-5)


def test_without_salinity_standard_sea_water_is_taken(tmp_path):
    columns = {"pressure": PRESSURE, "in_situ_temperature": IN_SITU}
    observed = read(tmp_path, columns, "nemo-teos10")
    assert 1e-3 < abs(observed.value - CONSERVATIVE).max() < 0.02


def test_the_two_forms_of_text_convert_alike(tmp_path):
    wide = read(
        tmp_path,
        {"depth": DEPTH, "in_situ_temperature": IN_SITU, "practical_salinity": PRACTICAL},
        "nemo-teos10",
    )
    path = tmp_path / "long.csv"
    lines = ["lon,lat,depth,quantity,value"]
    for name, values in {"practical_salinity": PRACTICAL, "in_situ_temperature": IN_SITU}.items():
        pairs = zip(DEPTH, values, strict=True)
        lines += [f"188,4,{depth},{name},{value}" for depth, value in pairs]
    path.write_text("\n".join(lines))
    long = read_observations(
        path, equation_of_state="nemo-teos10", errors=DEFAULTS, convert=True
    ).observations
    for quantity in ("temperature", "salinity"):
        pair = [one.value[one.quantity == quantity] for one in (wide, long)]
        np.testing.assert_array_equal(*pair)


def test_what_needs_no_conversion_is_left_alone(tmp_path):
    columns = {"depth": DEPTH, "temperature": IN_SITU, "practical_salinity": PRACTICAL}
    observed = read(tmp_path, columns, "jmd95")
    np.testing.assert_array_equal(observed.value[::2], IN_SITU)
    np.testing.assert_array_equal(observed.value[1::2], PRACTICAL)


def test_a_plane_has_no_place_on_the_globe(tmp_path):
    path = tmp_path / "plane.csv"
    path.write_text("x,y,depth,in_situ_temperature\n1,2,3,4\n")
    with pytest.raises(UserError, match="positions in km: expected degrees to convert"):
        read_observations(path, equation_of_state="jmd95", errors=DEFAULTS, convert=True)


def test_a_position_without_sea_is_refused(tmp_path):
    path = tmp_path / "pole.csv"
    path.write_text("lon,lat,depth,practical_salinity\n10,-88,3,35\n")
    with pytest.raises(UserError, match="to no number: expected positions in the ocean"):
        read_observations(path, equation_of_state="nemo-teos10", errors=DEFAULTS, convert=True)
