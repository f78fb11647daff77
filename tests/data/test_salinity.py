"""One name and unit of salinity, from its kind."""

from __future__ import annotations

import pytest

from data.archive.format import field_attributes
from data.kinds import stated_kind
from data.salinity import SALINITY_UNIT, salinity_of
from data.units import SALINITIES, factor
from evaluation.columns import Column, in_units_of


@pytest.mark.parametrize(
    ("equation", "kind", "units", "shown"),
    [
        ("jmd95", "practical", "1", "10⁻³"),
        ("veros-vallis", "practical", "1", "10⁻³"),
        ("nemo-teos10", "absolute", "g kg-1", "g kg⁻¹"),
    ],
)
def test_the_kind_decides_name_and_unit(equation, kind, units, shown, tmp_path):
    salinity = salinity_of(equation)
    assert (salinity.units, salinity.shown) == (units, shown)
    attributes = {"standard_name": salinity.standard_name, "units": salinity.units}
    assert stated_kind("so", attributes) == kind, "our readers understand what we write"
    read = factor(attributes, SALINITIES, quantity="so", path=tmp_path, expected="")
    assert read == 1


@pytest.mark.parametrize(
    ("equation", "unit", "name"),
    [
        ("veros-vallis", None, "sea_water_practical_salinity"),
        ("veros-vallis", "1", "sea_water_practical_salinity"),
        ("veros-vallis", "g/kg", "sea_water_salinity"),
        ("nemo-teos10", "g/kg", "sea_water_absolute_salinity"),
    ],
)
def test_an_archive_states_the_kind_unless_its_unit_contradicts(equation, unit, name):
    so = field_attributes(equation, unit)["so"]
    assert so["standard_name"] == name
    assert so["units"] == (unit or salinity_of(equation).units)


def test_tables_have_the_unit_of_the_kind():
    columns = [Column("s", "S", f"{SALINITY_UNIT}/year"), Column("t", "T", "K")]
    practical = in_units_of(salinity_of("jmd95"), columns)
    absolute = in_units_of(salinity_of("nemo-teos10"), columns)
    assert [column.unit for column in practical] == ["10⁻³/year", "K"]
    assert [column.unit for column in absolute] == ["g kg⁻¹/year", "K"]
