"""A study of training terms end to end on the tiny ocean."""

from __future__ import annotations

import json

import pytest
import yaml

from data.errors import UserError
from halocline import main
from studies.terms import points as made_once
from studies.terms.settings import load_terms_study
from studies.terms.study import compare_terms
from studies.terms.tables import GROUPS, TABLES
from studies.terms.training import samples_in_equal_time

VARIANTS = {
    "baseline": {},
    "conflict_free": {
        "residual": {"weight": 1.0, "estimate": "sample", "gradients": "conflict_free"}
    },
    "mean": {"residual": {"weight": 1.0, "largest_noise": 1.0}},
    "censored": {"censored": {"scale": 0.1}},
}


@pytest.fixture
def study_path(tiny_config, tmp_path):
    """A study of two seeds and eight samples."""
    path = tmp_path / "terms_tiny.yaml"
    content = {
        "base": tiny_config.name,
        "samples": {"autoencoder": 8, "diffusion": 8},
        "members": 3,
        "seeds": [0, 1],
        "variants": VARIANTS,
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_a_slower_variant_gets_fewer_samples_in_whole_batches():
    seconds = {"plain": 1.0, "twice": 2.0, "faster": 0.5, "much": 1000.0}
    given = samples_in_equal_time(seconds, baseline="plain", samples=100, batch_size=16)
    assert given == {"plain": 100, "twice": 48, "faster": 100, "much": 16}


@pytest.mark.slow
def test_every_point_is_made_once_and_compared(study_path, tmp_path, monkeypatch):
    study = load_terms_study(study_path)
    output = tmp_path / "terms.json"
    compare_terms(study, split="test", only=["conflict_free"], output=output)
    first = json.loads(output.read_text())
    assert list(first["variants"]) == ["conflict_free"]
    assert {"truth", "training", "eof_gaussian"} <= first["rows"].keys()
    monkeypatch.setattr(made_once, "draw", lambda *_: pytest.fail("drawn again"))
    compare_terms(study, split="test", only=["conflict_free"], output=output)
    monkeypatch.undo()

    compare_terms(study, split="test", output=output)
    content = json.loads(output.read_text())
    assert content["kind"] == "terms"
    assert list(content["variants"]) == list(VARIANTS)
    assert content["variants"]["conflict_free"] == first["variants"]["conflict_free"]
    for name, variant in content["variants"].items():
        assert variant["seeds"] == [0, 1]
        assert all(len(values) == 2 for values in variant["metrics"].values())
        assert all(value > 0 for value in variant["training"]["diffusion"]["wall_seconds"])
        samples = variant["calibration"]["diffusion"]["samples"]
        assert variant["training"]["diffusion"]["samples"] == [samples, samples]
        assert samples in (4, 8) and (samples == 8 or VARIANTS[name])
    plain, censored = content["variants"]["baseline"], content["variants"]["censored"]
    assert censored["training"]["diffusion"]["samples"] == [8, 8]
    assert plain["metrics"]["w1_temperature_K"][0] != plain["metrics"]["w1_temperature_K"][1]
    assert censored["metrics"]["below_bound_percent"] == [0, 0]
    assert "autoencoded: w1_temperature_K" in censored["metrics"]

    monkeypatch.setattr(made_once, "draw", lambda *_: pytest.fail("drawn again"))
    arguments = ["--finished", "--split", "validation", "--output", str(output)]
    main(["study", "terms", str(study_path), *arguments])
    again = json.loads(output.read_text())
    assert again["split"] == "validation"
    assert again["variants"]["mean"]["training"] == content["variants"]["mean"]["training"]

    assert all("| censored |" in shown(again, group) for group in GROUPS)
    assert "| conflict free |" in shown(again, "stability")
    assert "| conflict free |" not in shown(again, "autoencoded")


def shown(content, group):
    return TABLES["terms"](content, group)


def test_a_study_without_finished_points_has_its_yardsticks(study_path, tmp_path):
    output = tmp_path / "terms.json"
    compare_terms(load_terms_study(study_path), train=False, output=output)
    content = json.loads(output.read_text())
    assert content["variants"] == {}
    assert "| truth |" in shown(content, None)
    assert "| EOF-Gaussian |" in shown(content, "bound")


def test_an_unknown_variant_is_named(study_path):
    with pytest.raises(UserError, match="no variant better; it has baseline"):
        compare_terms(load_terms_study(study_path), only=["better"])
