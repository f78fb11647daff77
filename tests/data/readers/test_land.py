"""Land by values: fill values that nobody declared, holes, masks that are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.readers.land import without_water

VOLUME = ("time", "depth", "lat", "lon")


def changed(dataset, **values):
    """The dataset with other values, its attributes kept."""
    return dataset.assign({name: dataset[name].copy(data=v) for name, v in values.items()})


@pytest.mark.parametrize(
    "fill", [0.0, 1e20, -9999.0, 9.969209968386869e36, -1e34, -999.0, -32767.0, 1e15, -777.0]
)
def test_a_fill_value_of_both_fields_is_land(ocean, wet, into_archive, fill):
    archive = into_archive(ocean(land=fill))
    np.testing.assert_array_equal(archive.grid.wet, wet)
    np.testing.assert_allclose(
        archive.read([3]).temperature[0].numpy()[wet], ocean().thetao.values[3][wet]
    )


def test_fill_values_of_two_kinds_coincide(ocean, wet, into_archive):
    source = ocean(land=-9999.0)
    source["so"] = source.so.where(source.so > 0, 1e20)
    np.testing.assert_array_equal(into_archive(source).grid.wet, wet)


def test_a_fill_value_of_one_field_alone_is_no_land():
    temperature = np.array([1e20, 9.0, -9999.0, 0.0, 30.0])
    salinity = np.array([35.0, 0.0, 34.0, 30.0, 30.0])
    assert not without_water(temperature, salinity).any()


def test_land_in_kelvin_is_0_or_converted_from_0_degrees(ocean, wet, into_archive):
    source = ocean(land=0.0)
    source["thetao"] = (source.thetao + 273.15).assign_attrs(units="K")
    np.testing.assert_array_equal(into_archive(source).grid.wet, wet)


def test_fresh_water_is_water_where_land_is_known(ocean, wet, into_archive):
    source = ocean()
    salinity = source.so.values
    salinity[:, 0, 4, 4] = 0.0
    archive = into_archive(changed(source, so=salinity))
    np.testing.assert_array_equal(archive.grid.wet, wet)
    assert archive.read([0]).salinity[0, 0, 4, 4] == 0


def test_a_hole_in_the_first_state_is_not_land(ocean, into_archive):
    source = ocean()
    temperature, salinity = source.thetao.values, source.so.values
    temperature[0, :, 3], salinity[0, :, 3] = np.nan, np.nan
    with pytest.raises(
        UserError, match=r"state 1 of .* has water in 40 cells that hold none in st"
    ):
        into_archive(changed(source, thetao=temperature, so=salinity))


def test_a_hole_in_one_field_is_not_land(ocean, into_archive):
    source = ocean()
    temperature = source.thetao.values
    temperature[0, 2, 4, 4] = np.nan
    with pytest.raises(UserError, match=r"no temperature in 1 cells of its first state that have"):
        into_archive(changed(source, thetao=temperature))


@pytest.mark.parametrize("land", [0.0, np.nan])
def test_a_mask_that_marks_land_by_1(ocean, wet, into_archive, land):
    source = ocean(land=land).assign(mask=(VOLUME[1:], (~wet).astype("i1")))
    with pytest.raises(UserError, match=r"mask of .* marks 32 cells as wet .* and 208 as land"):
        into_archive(source)


def test_a_mask_with_a_wet_cell_too_many(ocean, wet, into_archive):
    wet[:, 1, 1] = True
    source = ocean(land=1e20).assign(mask=(VOLUME[1:], wet.astype("i1")))
    with pytest.raises(UserError, match=r"mask of .* marks 5 cells as wet that hold a land value"):
        into_archive(source)


def test_a_state_that_blew_up(ocean, wet, into_archive, tmp_path):
    source = ocean()
    temperature = source.thetao.values
    temperature[11] = np.where(wet, 1e8, np.nan)
    sentence = (
        r"state 11 of .*ocean.nc has thetao outside -5 to 50 degC, what sea water can be, in 208"
    )
    with pytest.raises(UserError, match=sentence):
        into_archive(changed(source, thetao=temperature))
    assert [file.name for file in tmp_path.iterdir()] == ["ocean.nc"]
