"""Units of parameters: from files and settings into archives, without a change of identity."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.ingest import ingest
from data.parameters import axis_label, unit_suffix
from tests.data.test_ingest import model_file, settings

UNIT = {"gm_diffusivity": "m2 s-1"}


def ingested(tmp_path, *outputs, **changes) -> StateArchive:
    """The archive of these outputs, each a member."""
    for number, output in enumerate(outputs):
        output.to_netcdf(tmp_path / f"{number}.nc")
    ingest(settings(tmp_path / "*.nc", **changes), output=tmp_path / "out.zarr")
    return StateArchive.open(tmp_path / "out.zarr")


def test_units_are_stored_but_no_part_of_the_identity(write_archive):
    plain, named = (
        StateArchive.open(write_archive(name, units=units))
        for name, units in (("plain.zarr", None), ("named.zarr", UNIT))
    )
    assert plain.units == {} and named.units == UNIT
    assert plain.digest == named.digest
    named.verify()


def test_age_season_and_time_have_the_units_that_they_always_have(
    small_grid, random_state, tmp_path
):
    path = tmp_path / "a.zarr"
    with ArchiveWriter(path, grid=small_grid, equation_of_state="jmd95") as writer:
        given = {"age": 3.0, "season": 0.5, "wind": 1.0}
        state = random_state(small_grid, seed=0, sea_level=False)
        writer.append(state, member=0, time=3.0, split=0, parameters=given)
    archive = StateArchive.open(path)
    assert archive.units == {"age": "year", "season": "1"}
    time, wind = (archive._arrays[name].attrs.asdict() for name in ("time", "wind"))
    assert time["units"] == archive.units["age"]
    assert wind == {"long_name": "wind"}


@pytest.mark.parametrize(
    "given",
    [
        {"gm_diffusivity": "500 m2 s-1"},
        {"gm_diffusivity": " 500.0   m2  s-1 "},
        {"gm_diffusivity": 500.0, "gm_diffusivity_units": "m2 s-1"},
    ],
)
def test_the_unit_of_a_global_attribute_is_kept(given, tmp_path):
    output = model_file(None)
    output.attrs = given
    archive = ingested(tmp_path, output, parameters=["gm_diffusivity"])
    assert archive.units == UNIT
    assert archive.parameters["gm_diffusivity"].tolist() == [500.0] * 12


@pytest.mark.parametrize("text", ["500m2/s", "500 1000", "1000 2e3", "500 nan", "m2 s-1", "1 2 3"])
def test_a_text_that_is_no_number_with_a_unit_is_refused(text, tmp_path):
    output = model_file(None)
    output.attrs = {"gm_diffusivity": text}
    with pytest.raises(UserError, match=rf'is "{text}": expected a number, or a text with a num'):
        ingested(tmp_path, output, parameters=["gm_diffusivity"])


def test_texts_and_axes_show_units_but_not_the_unit_1():
    units = {"warming": "K", "wind": "1"}
    assert [unit_suffix(name, units) for name in ("warming", "wind", "gm")] == [" K", "", ""]
    assert [axis_label(name, units) for name in ("warming", "wind")] == ["warming [K]", "wind"]


def test_the_unit_of_a_variable_is_kept(tmp_path):
    output = model_file(None)
    output["wind"] = ("time", np.full(12, 0.1), {"units": "N m-2"})
    output["relaxation"] = ("time", np.full(12, 30.0), {"units": "days"})
    archive = ingested(tmp_path, output, parameters=["wind", "relaxation"])
    assert archive.units == {"wind": "N m-2", "relaxation": "days"}
    assert set(archive.parameters["relaxation"]) == {30.0}


def test_units_of_the_settings_win_over_those_of_files(tmp_path):
    outputs = model_file(None, seed=0), model_file(None, seed=1)
    outputs[0].attrs = {"gm_diffusivity": "500 m2/s"}
    outputs[1].attrs = {"gm_diffusivity": "1000 m2 s-1"}
    archive = ingested(tmp_path, *outputs, parameters=UNIT)
    assert archive.units == UNIT
    assert set(archive.parameters["gm_diffusivity"]) == {500.0, 1000.0}


def test_a_unit_may_be_the_number_1():
    assert settings("a.nc", parameters={"wind": 1}).units == {"wind": "1"}


@pytest.mark.parametrize("given", [3, "wind", [3], {"wind": ""}, {"wind": None}, {"wind": ["K"]}])
def test_parameters_that_are_neither_names_nor_units_are_refused(given):
    with pytest.raises(ValidationError, match=r"or names with units such as {gm_diffusivity: m2"):
        settings("a.nc", parameters=given)


def test_members_in_different_units_are_refused(tmp_path):
    outputs = model_file(None, seed=0), model_file(None, seed=1)
    outputs[0].attrs = {"gm_diffusivity": "500 m2 s-1"}
    outputs[1].attrs = {"gm_diffusivity": "1e7 cm2 s-1"}
    sentence = r'1\.nc is in "cm2 s-1", but in "m2 s-1" in files before it: one parameter has one'
    with pytest.raises(UserError, match=sentence):
        ingested(tmp_path, *outputs, parameters=["gm_diffusivity"])
    assert not (tmp_path / "out.zarr").exists()


def test_an_age_in_days_is_refused(tmp_path):
    output = model_file(None)
    output["age"] = ("time", np.arange(12) * 360.0, {"units": "days"})
    with pytest.raises(UserError, match=r'age of .* is in "days": expected year'):
        ingested(tmp_path, output, parameters=["age"])
    with pytest.raises(
        UserError, match=r"data.ingest.parameters states age in days: expected year"
    ):
        ingested(tmp_path, output, parameters={"age": "days"})
