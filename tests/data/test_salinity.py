"""One name and unit of salinity, from its kind."""

from __future__ import annotations

import pytest

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


def test_tables_have_the_unit_of_the_kind():
    columns = [Column("s", "S", f"{SALINITY_UNIT}/year"), Column("t", "T", "K")]
    practical = in_units_of(salinity_of("jmd95"), columns)
    absolute = in_units_of(salinity_of("nemo-teos10"), columns)
    assert [column.unit for column in practical] == ["10⁻³/year", "K"]
    assert [column.unit for column in absolute] == ["g kg⁻¹/year", "K"]
