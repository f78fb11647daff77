"""Kinds of temperature and salinity against the equation of state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from data.kinds import check_kind, of_right_kind, stated_kind

CONSERVATIVE = {"standard_name": "sea_water_conservative_temperature"}
POTENTIAL = {"standard_name": "sea_water_potential_temperature"}
ABSOLUTE = {"standard_name": "sea_water_absolute_salinity"}


@pytest.mark.parametrize(
    ("quantity", "attributes", "equation", "refused"),
    [
        ("temperature", CONSERVATIVE, "nemo-eos80", "takes potential temperature"),
        ("temperature", CONSERVATIVE, "nemo-teos10", None),
        ("temperature", POTENTIAL, "veros-gsw", "takes conservative temperature"),
        ("temperature", POTENTIAL, "jmd95", None),
        ("temperature", {"standard_name": "sea_water_temperature"}, "jmd95", "is in-situ temperat"),
        ("temperature", {"long_name": "In situ temperature"}, "nemo-teos10", "is in-situ"),
        ("temperature", {"long_name": "temperature"}, "nemo-teos10", None),
        ("salinity", ABSOLUTE, "jmd95", "takes practical salinity"),
        ("salinity", {"long_name": "Absolute Salinity", "units": "g/kg"}, "linear", "is absolute"),
        (
            "salinity",
            {"standard_name": "sea_water_practical_salinity"},
            "veros-gsw",
            "is practical",
        ),
        ("salinity", {"standard_name": "sea_water_salinity"}, "nemo-teos10", None),
        ("salinity", {"units": "g/kg"}, "veros-vallis", None),
    ],
)
def test_a_kind_that_the_equation_does_not_take(quantity, attributes, equation, refused):
    def check():
        check_kind(quantity, "x", attributes, equation=equation, path=Path("a.nc"))

    if refused is None:
        return check()
    with pytest.raises(UserError, match=refused):
        check()


def test_of_two_kinds_the_equations_own_is_taken():
    volume = ("time", "z", "y", "x")
    fields = {"thetao": POTENTIAL, "bigthetao": CONSERVATIVE, "so": {}}
    dataset = xr.Dataset({k: (volume, np.zeros((1, 2, 3, 4)), v) for k, v in fields.items()})
    left = of_right_kind(dataset, "nemo-teos10", named=[])
    assert {*left} == {"bigthetao", "so"}
    assert {*of_right_kind(dataset, "nemo-eos80", named=[])} == {"thetao", "so"}
    assert {*of_right_kind(dataset, "nemo-eos80", named=["bigthetao"])} == {*fields}
    assert {*of_right_kind(dataset[["thetao"]], "nemo-teos10", named=[])} == {"thetao"}


def test_customary_names_say_their_kind_only_where_it_is_certain():
    assert stated_kind("bigthetao", {}) == "conservative"
    assert stated_kind("thetao", {}) is None
