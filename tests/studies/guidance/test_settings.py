"""Studies of guidance: the shipped ones load, a point differs by its guidance and seed alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from studies.guidance.settings import load_guidance_study

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = sorted((CONFIGS / "studies").glob("guidance_*.yaml"))
METHODS = {
    "unguided": {"guidance": {"enabled": False}},
    "ours": {"guidance": {"start": 0.5}, "sweep": {"step_cap": [0.1, 0.2]}},
}


@pytest.fixture
def write(tiny_config, tmp_path):
    """Writes a study of the tiny experiment with the given methods; returns its path."""

    def write(methods, **settings):
        (tmp_path / "ways.yaml").write_text(yaml.safe_dump(methods, sort_keys=False))
        path = tmp_path / "guidance_tiny.yaml"
        content = {"spaces": {"latent": tiny_config.name}, "methods": "ways.yaml"}
        path.write_text(yaml.safe_dump(content | settings))
        return path

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_of_guidance_loads(path):
    study = load_guidance_study(path)
    assert "unguided" in study.methods
    assert study.settings.members >= 64
    assert len({point.name for point in study.points}) == len(study.points)


@pytest.mark.parametrize("ocean", ["quickstart", "global4deg", "eddying_channel"])
def test_each_ocean_has_a_study_with_the_published_methods(ocean):
    study = load_guidance_study(CONFIGS / "studies" / f"guidance_{ocean}.yaml")
    assert {"mean_profile", "density_profile", "density_steps", "proximal"} <= set(study.methods)


def test_points_differ_by_their_guidance_and_seed_alone(write):
    study = load_guidance_study(write(METHODS, members=5, seeds=[4, 7]))
    names = [point.name for point in study.points]
    assert names == [
        "latent-unguided-seed_4",
        "latent-unguided-seed_7",
        "latent-ours-step_cap=0.1-seed_4",
        "latent-ours-step_cap=0.1-seed_7",
        "latent-ours-step_cap=0.2-seed_4",
        "latent-ours-step_cap=0.2-seed_7",
    ]
    first, last = study.points[0].experiment, study.points[-1].experiment
    assert (last.sampling.members, last.sampling.seed) == (5, 7)
    assert (last.guidance.start, last.guidance.step_cap) == (0.5, 0.2)
    assert not first.guidance.enabled
    kept = {"guidance", "sampling"}
    assert first.model_dump(exclude=kept) == last.model_dump(exclude=kept)
    assert first.sampling.scheduler == last.sampling.scheduler


def test_a_study_sweeps_the_values_that_it_names(write):
    study = load_guidance_study(write(METHODS, seeds=[4], sweeps={"ours": [0.3]}))
    assert [point.label for point in study.points] == ["", "step_cap=0.3"]
    assert study.points[-1].experiment.guidance.start == 0.5


@pytest.mark.parametrize("name", ["unguided", "unheard_of"])
def test_only_a_method_with_a_sweep_is_swept_otherwise(write, name):
    path = write(METHODS, sweeps={name: [1]})
    with pytest.raises(UserError, match=f"sweeps.{name} is not a method with a sweep; use ours"):
        load_guidance_study(path)


def test_short_tables_show_points_that_are_drawn(write):
    study = load_guidance_study(write(METHODS, shown={"latent": {"ours": 0.2}}))
    assert study.shown == {"latent": {"ours": "step_cap=0.2"}}
    path = write(METHODS, shown={"latent": {"ours": 0.3}})
    with pytest.raises(UserError, match=r"shown has ours at 0.3, but its sweep has 0.1, 0.2"):
        load_guidance_study(path)


def test_inconsistent_settings_give_one_sentence(write):
    path = write(METHODS, seeds=[1, 1])
    with pytest.raises(UserError) as caught:
        load_guidance_study(path)
    message = "seeds must be distinct; equal seeds give equal ensembles"
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (
            {"ours": {"guidance": {"strat": 1}}},
            "method ours: guidance.strat: no such key",
        ),
        ({"ours": {"sweep": {"a": [1], "b": [2]}}}, "a sweep has exactly one setting"),
        ({"ours": {"sweep": {"step_cap": [-1]}}}, "method ours step_cap=-1: guidance.step_cap"),
        ({"no way": {}}, "expected text of the form"),
    ],
)
def test_mistakes_are_named(write, methods, message):
    with pytest.raises(UserError, match=message):
        load_guidance_study(write(methods))
