"""A study of guidance end to end on a tiny trained model."""

from __future__ import annotations

import json

import pytest
import yaml

from data.errors import UserError
from latent_diffusion.pipeline import StatePipeline
from studies.guidance import study as guidance_study
from studies.guidance.settings import load_guidance_study
from studies.guidance.study import Judge, compare_guidance, draw_timed

METHODS = {
    "unguided": {"guidance": {"enabled": False, "adjust": False}},
    "noisy": {
        "title": "pulls noisy samples",
        "guidance": {
            "terms": ["density_steps"],
            "acts_on": "noisy_sample",
            "start": 0,
            "strength": "dual_ascent",
        },
    },
    "clean": {
        "guidance": {"start": 0.0, "terms": ["nearest_stable_state"]},
        "sweep": {"step_cap": [0.03, 1.0]},
    },
}


@pytest.fixture
def study_path(trained, tmp_path):
    """A study of the tiny trained experiment."""
    experiment = trained.settings.model_dump(mode="json")
    (tmp_path / "trained.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    (tmp_path / "ways.yaml").write_text(yaml.safe_dump(METHODS, sort_keys=False))
    path = tmp_path / "guidance_tiny.yaml"
    content = {"spaces": {"latent": "trained.yaml"}, "methods": "ways.yaml"}
    path.write_text(yaml.safe_dump(content | {"members": 3, "seeds": [0, 1]}))
    return path


def test_a_study_judges_every_way_and_repeats_nothing(study_path, tmp_path, monkeypatch):
    study = load_guidance_study(study_path)
    object.__setattr__(study, "directory", tmp_path / "study")
    path = compare_guidance(study, split="test", only=["unguided"])
    assert set(json.loads(path.read_text())["points"]) == {"latent-unguided"}
    compare_guidance(study, split="test", draw=False)
    assert set(json.loads(path.read_text())["points"]) == {"latent-unguided"}
    compare_guidance(study, split="test")
    content = json.loads(path.read_text())
    assert set(content["points"]) == {
        "latent-unguided",
        "latent-noisy",
        "latent-clean-step_cap=0.03",
        "latent-clean-step_cap=1.0",
    }
    assert content["methods"]["noisy"] == "pulls noisy samples"
    for point in content["points"].values():
        assert point["seeds"] == 2
        assert point["adjusted"]["density_error_percent"] == [0, 0]
        mean, spread = point["as drawn"]["w1_temperature_K"]
        assert mean > 0 and spread > 0
    unguided, guided = (
        content["points"][f"latent-{name}"]["as drawn"]["adjustment_moves_std"][0]
        for name in ("unguided", "clean-step_cap=1.0")
    )
    assert guided < unguided
    assert (tmp_path / "study" / "trade_off_test.png").stat().st_size > 10_000
    assert (tmp_path / "study" / "cost_test.png").stat().st_size > 10_000
    assert (tmp_path / "study" / "w1_by_level_test.png").stat().st_size > 10_000
    assert len(list((tmp_path / "study" / "sections").glob("*.png"))) == 4, "of the first seed"
    relative = content["points"]["latent-unguided"]["as drawn"]
    assert relative["variance_of_unguided_surface_temperature"][0] == 1
    monkeypatch.setattr(guidance_study, "draw_timed", lambda _: pytest.fail("drawn again"))
    assert (
        json.loads(compare_guidance(study, split="test").read_text())["points"] == content["points"]
    )


def test_a_point_of_other_settings_is_not_taken_for_done(study_path, tmp_path, monkeypatch):
    first = load_guidance_study(study_path, ["--members", "3"])
    more = load_guidance_study(study_path, ["--members", "4"])
    drawn, real = [], guidance_study.draw_timed
    monkeypatch.setattr(
        guidance_study, "draw_timed", lambda e, **given: drawn.append(e) or real(e, **given)
    )
    for study in (first, more, more):
        object.__setattr__(study, "directory", tmp_path / "again")
        compare_guidance(study, split="test", only=["unguided"])
    assert [run.settings.sampling.members for run in drawn] == [3, 3, 4, 4]


def test_an_unknown_way_is_named(study_path):
    with pytest.raises(UserError, match="no method better; it has unguided, noisy, clean"):
        compare_guidance(load_guidance_study(study_path), split="test", only=["better"])


def test_a_conditional_model_is_drawn_at_the_conditions_of_the_truth(conditional, monkeypatch):
    judge = Judge.of(conditional, split="validation")
    assert judge.conditions.certain and set(judge.conditions.values["gm"]) == {1300.0}
    given = []
    draw = StatePipeline.draw
    monkeypatch.setattr(
        StatePipeline, "draw", lambda *a, **kw: (given.append(kw["conditions"]), draw(*a, **kw))[1]
    )
    states, _ = draw_timed(conditional, conditions=judge.conditions)
    assert len(states) == conditional.settings.sampling.members
    assert {float(gm) for one in given for gm in one.values["gm"]} == {1300.0}
    seasons = [season for one in given for season in one.values["season"]]
    assert seasons == [*judge.conditions.values["season"][: len(states)]]
