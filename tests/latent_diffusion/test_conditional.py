"""A conditional model, from its training to states at given conditions."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from pydantic import ValidationError

from configs import Experiment, load_experiment
from configs.run import Run
from configs.stages import distil, sample, sample_rows
from data.archive.reader import StateArchive
from data.conditions import Conditions
from data.errors import UserError
from data.restarts.cf import CfFile
from data.restarts.mitgcm import MitgcmFiles
from data.state import State
from integration.export import export_state
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline

pytestmark = pytest.mark.slow


def _mean_temperature(states: State) -> float:
    return float(states.temperature[:, 0, 1:].mean())


def _at(pipeline: StatePipeline, *, count: int = 8, **values: float) -> Conditions:
    unknown = pipeline.expectation.unknown([member_generator(0, 0)] * count)
    return unknown.with_values(**values)


def _draw(pipeline: StatePipeline, conditions: Conditions) -> State:
    generators = [member_generator(0, m) for m in range(len(conditions))]
    return pipeline.draw(generators=generators, conditions=conditions).state


def test_states_follow_parameter_and_season(conditional):
    pipeline = conditional.pipeline()
    cold, warm, winter = (
        _mean_temperature(_draw(pipeline, _at(pipeline, age=85.0, **values)))
        for values in (
            {"gm": 600.0, "season": 0.0},
            {"gm": 900.0, "season": 0.0},
            {"gm": 900.0, "season": 0.5},
        )
    )
    assert 0.4 < warm - cold < 1.2  # 2 log 1.5 = 0.81
    assert 1.4 < warm - winter < 2.6  # 2


def test_the_same_noise_shows_the_effect_of_the_parameter(conditional):
    """Paired draws: internal variability cancels in their difference."""
    pipeline = conditional.pipeline()
    pair = [
        _draw(pipeline, replace(_at(pipeline, gm=gm, season=0.0), certain=True))
        for gm in (600.0, 900.0)
    ]
    difference = (pair[1].temperature - pair[0].temperature)[:, 0, 1:]
    assert difference.std(dim=0).max() < 0.3 * pair[0].temperature[:, 0, 1:].std(dim=0).mean()


def test_a_member_does_not_depend_on_its_batch(conditional):
    pipeline = conditional.pipeline()
    conditions = _at(pipeline, count=3, gm=700.0, season=0.2)
    together = _draw(pipeline, conditions)
    alone = pipeline.draw(generators=[member_generator(0, 2)], conditions=conditions.at([2])).state
    torch.testing.assert_close(together.temperature[2], alone.temperature[0])


def test_a_drawn_state_carries_its_conditions(conditional, tmp_path):
    path = tmp_path / "states.zarr"
    sample(conditional, output=path, at=["gm=900", "season=0"])
    archive = StateArchive.open(path)
    assert archive.parameters["gm"].tolist() == [900.0] * 3
    assert archive.parameters["season"].tolist() == [0.0] * 3
    assert archive.parameters["age"].tolist() == [np.inf] * 3
    assert archive.units == {"gm": "m2 s-1", "season": "1", "age": "year"}
    record = json.loads(archive.attributes["sampling"])
    assert record["conditions"]["gm"] == [900.0] * 3
    assert record["guidance"] is not None


def test_an_exported_state_carries_its_conditions(conditional, tmp_path):
    sample(conditional, output=tmp_path / "states.zarr", at=["gm=900", "season=0.25"])
    archive = StateArchive.open(tmp_path / "states.zarr")
    export_state(archive, 0, CfFile(), path=tmp_path / "start.nc", adjusted=True)
    with xr.open_dataset(tmp_path / "start.nc") as data:
        assert (data.gm, data.season, data.age) == (900.0, 0.25, np.inf)
        assert (data.gm_units, data.age_units) == ("m2 s-1", "year")
    written = export_state(archive, 0, MitgcmFiles(), path=tmp_path / "start", adjusted=True)
    assert " baseTime=7776000.," in written.namelist.splitlines()


def test_the_model_card_names_conditions_and_ranges(conditional):
    card = (conditional.model_folder / "README.md").read_text()
    assert "| gm | 500 to 1000 m2 s-1 | log |" in card
    assert "from 3 members" in card.replace("\n", " ")


def test_a_table_of_points_gives_states_at_each(conditional, tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("gm, season\n600, 0\n900, 0.5\n")
    sample(conditional, output=tmp_path / "states.zarr", at=[str(table)])
    archive = StateArchive.open(tmp_path / "states.zarr")
    assert archive.parameters["gm"].tolist() == [600.0] * 3 + [900.0] * 3
    assert archive.parameters["season"].tolist() == [0.0] * 3 + [0.5] * 3


def test_all_points_have_the_same_noise(conditional, tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("gm, season\n600, 0\n600, 0\n")
    sample(conditional, output=tmp_path / "states.zarr", at=[str(table)])
    temperature = StateArchive.open(tmp_path / "states.zarr").read(range(6)).temperature
    torch.testing.assert_close(temperature[:3], temperature[3:])
    assert not torch.allclose(temperature[0], temperature[1])


def test_without_a_point_states_are_those_of_training_members(conditional, tmp_path):
    sample(conditional, output=tmp_path / "states.zarr")
    drawn = StateArchive.open(tmp_path / "states.zarr").parameters["gm"]
    assert {round(value) for value in drawn} <= {500, 800, 1000}


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (["gm=1500"], "gm 1500 m2 s-1 is outside .* 500 to 1000 m2 s-1: the nearest bound is 1000"),
        (["wind=1"], "does not know wind: its conditions are gm, season, age"),
        (["gm=high"], "--at gm=high: 'high' is not a number"),
        (["nothing.csv"], "--at nothing.csv is neither NAME=VALUE nor a CSV file"),
        (["a.csv", "gm=1"], "give one CSV file, or name=value"),
        (["gm=600", "gm=900"], "gives gm twice: give several points in a CSV file"),
    ],
)
def test_a_point_that_makes_no_sense_is_refused(conditional, tmp_path, at, message):
    with pytest.raises(UserError, match=message):
        sample(conditional, output=tmp_path / "states.zarr", at=at)
    assert list(tmp_path.iterdir()) == []


def test_extrapolation_must_be_asked_for(conditional, tmp_path):
    sample(conditional, output=tmp_path / "states.zarr", at=["gm=1500"], extrapolate=True)
    assert StateArchive.open(tmp_path / "states.zarr").parameters["gm"].tolist() == [1500.0] * 3


def test_uncertainty_of_the_mean_adds_to_the_spread(conditional, tmp_path):
    spread = {}
    for certain in (True, False):
        path = tmp_path / f"{certain}.zarr"
        longer = conditional.settings.sampling.model_copy(update={"members": 16})
        run = conditional.with_settings(sampling=longer)
        options = {"at": ["gm=1900", "season=0"], "extrapolate": True}
        sample(run, output=path, certain=certain, **options)
        archive = StateArchive.open(path)
        assert json.loads(archive.attributes["sampling"])["conditions"]["certain"] is certain
        spread[certain] = archive.read(range(16)).temperature.var(dim=0).mean()
    assert spread[False] > 1.1 * spread[True]


def test_a_model_without_conditions_refuses_them(trained, tmp_path):
    with pytest.raises(UserError, match="has no section conditions"):
        sample(trained, output=tmp_path / "states.zarr", at=["gm=900"])
    with pytest.raises(UserError, match="the model has no conditions"):
        _draw(trained.pipeline(), Conditions({"gm": np.ones(1)}))


def test_the_rows_of_the_evaluation_have_the_conditions_of_test_states(conditional):
    sample_rows(conditional)
    archive = StateArchive.open(conditional.samples("guided_adjusted"))
    assert archive.parameters["gm"].tolist() == [2000.0] * 3
    assert set(archive.parameters["age"]) <= set(np.arange(80.0, 100.0))


def test_other_conditions_are_another_model(conditional):
    settings = conditional.settings
    other = settings.conditions.model_copy(update={"season": False})
    with pytest.raises(UserError, match=r"conditions\.season differ"):
        conditional.with_settings(conditions=other).pipeline()
    with pytest.raises(UserError, match="conditions differ"):
        conditional.with_settings(conditions=None).pipeline()


def test_guidance_towards_the_mean_climate_is_refused(conditional):
    settings = conditional.settings.model_dump(mode="json", exclude_unset=True)
    settings["guidance"]["terms"] = [{"mean_profile": {}}]
    with pytest.raises(ValidationError, match="to the same climate: remove such terms"):
        Experiment.model_validate(settings)


def test_a_distilled_model_has_the_conditions_of_its_teacher(conditional, tmp_path):
    settings = yaml.safe_load(yaml.safe_dump(conditional.settings.model_dump(mode="json")))
    settings["run_directory"] = str(tmp_path / "student")
    settings["sampling"] |= {
        "steps": 2,
        "scheduler_options": {"solver_order": 1, "timestep_spacing": "trailing"},
    }
    settings["distillation"] = {
        "teacher": str(conditional.directory),
        "teacher_steps": 4,
        "chains": 32,
        "training": settings["diffusion"]["training"],
    }
    path = tmp_path / "student.yaml"
    path.write_text(yaml.safe_dump(settings))
    student = Run(load_experiment(path))
    distil(student)
    pipeline = student.pipeline()
    assert pipeline.steps == 2
    cold, warm = (
        _mean_temperature(_draw(pipeline, _at(pipeline, gm=gm, season=0.0))) for gm in (600, 900)
    )
    assert 0.4 < warm - cold < 1.2
