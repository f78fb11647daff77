"""Comparing autoencoders: equal cost, resuming, and what is written."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
import yaml

from data.errors import UserError
from halocline import main
from studies.autoencoder import study as codec_study
from studies.autoencoder.figures import frontier, looks, rmse_profiles, spectra_ratios
from studies.autoencoder.settings import load_study
from studies.autoencoder.study import compare, training_rate, with_samples

VARIANTS = {"plain": {}, "no_mixing": {"autoencoder": {"mixing": False}}}


@pytest.fixture
def study_path(tiny_config, tmp_path):
    """A study of two variants with a twentieth of a second each."""
    path = tmp_path / "designs.yaml"
    settings = {"base": tiny_config.name, "training_seconds": 0.05, "variants": VARIANTS}
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def test_the_rate_is_of_training_steps(tiny_run, monkeypatch):
    run = tiny_run()
    batch = run.settings.autoencoder.training.batch_size
    monkeypatch.setattr(codec_study, "_step_starts", lambda _: [0, 9, 18, 20, 22, 24, 26, 99])
    assert training_rate(run) == batch / 2


@pytest.mark.slow
def test_the_rate_is_measured_and_leaves_nothing(tiny_run):
    run = tiny_run()
    assert 1 < training_rate(run) < 1e6
    assert not run.directory.exists()


def test_samples_are_seconds_times_rate_in_whole_batches(study_path, monkeypatch):
    study = load_study(study_path, ["--training_seconds", "10"])
    monkeypatch.setattr(codec_study, "training_rate", lambda _: 13.1)
    run, plan = codec_study.at_equal_cost(study, "plain")
    assert plan["training_samples"] == 132
    assert run.settings.autoencoder.training.samples == 132
    monkeypatch.setattr(codec_study, "training_rate", lambda _: pytest.fail("measured again"))
    assert codec_study.at_equal_cost(study, "plain")[0].settings == run.settings


def test_a_short_training_warms_up_less(tiny_run):
    run = tiny_run("--autoencoder.training.warmup_samples", "100")
    assert with_samples(run, 50).settings.autoencoder.training.warmup_samples == 10
    assert with_samples(run, 5000).settings.autoencoder.training.warmup_samples == 100


@pytest.mark.slow
def test_a_study_runs_resumes_and_reports(study_path, monkeypatch, capsys):
    main(["study", "autoencoder", str(study_path), "--only", "plain"])
    study = load_study(study_path)
    summary = study.directory / "study_validation.json"
    assert list(json.loads(summary.read_text())["variants"]) == ["plain"]
    plain = study.variants["plain"].run_directory
    result = json.loads((plain / "metrics_validation.json").read_text())
    assert result["metrics"]["rmse_temperature_percent_of_total_std"] > 0
    assert result["metrics"]["training_samples"] % 4 == 0
    assert len(result["rmse_percent_of_anomaly_std"]["salinity"]) == 5
    assert len(result["worst_cells"]) == 10
    assert (plain / "maps_validation.png").is_file()

    trained = []
    train = codec_study.train_codec
    monkeypatch.setattr(
        codec_study, "train_codec", lambda e: (trained.append(e.settings.name), train(e))
    )
    compare(study)
    assert trained == ["no_mixing"]
    content = json.loads(summary.read_text())
    assert list(content["variants"]) == ["plain", "no_mixing"]
    assert content["variants"]["plain"] == result["metrics"]
    assert {path.name for path in (study.directory / "figures_validation").iterdir()} == {
        "frontier.png", "spectra.png", "rmse_profiles.png",
    }  # fmt: skip
    assert not list(study.directory.rglob("*.partial"))


def test_an_interrupted_variant_resumes_from_its_checkpoint(
    study_path, monkeypatch, interrupt_training
):
    monkeypatch.setattr(codec_study, "training_rate", lambda _: 16 / 0.05)
    study = load_study(study_path)
    interrupt_training(lambda s: compare(s, only=["plain"]), study, at=12)
    folder = study.variants["plain"].run_directory
    assert (folder / "autoencoder" / "checkpoint-000000008").is_dir()
    monkeypatch.setattr(codec_study, "training_rate", lambda _: pytest.fail("measured again"))
    compare(study, only=["plain"])
    assert (folder / "metrics_validation.json").is_file()


def test_a_changed_variant_is_not_taken_for_the_old_one(study_path, monkeypatch):
    monkeypatch.setattr(codec_study, "training_rate", lambda _: 100.0)
    codec_study.at_equal_cost(load_study(study_path), "plain")
    changed = load_study(study_path, ["--variants.plain.autoencoder.blocks", "2"])
    with pytest.raises(
        UserError, match=r"plain belongs to a variant with other settings .autoencoder"
    ):
        codec_study.at_equal_cost(changed, "plain")


def test_a_variant_that_is_not_there_is_named(study_path):
    with pytest.raises(UserError, match="no variant absent; it has plain, no_mixing"):
        compare(load_study(study_path), only=["absent"])


def boxes_are_apart(figure):
    """Whether no two names in the first panel overlap."""
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    return not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_all_variants_look_different_and_can_be_drawn():
    names = [f"variant_{number}" for number in range(28)]
    assert len(set(looks(names).values())) == 28
    assert len({look.colour for look in looks(names[:12]).values()}) == 12
    metrics = {
        name: {
            "compression": 8.0 * 2 ** (number % 6),
            "rmse_temperature_percent_of_total_std": 2.0 + number,
            "rmse_salinity_percent_of_total_std": None if number == 3 else 3.0 + number,
            "decode_vjp_seconds": 0.1 + 0.1 * number,
        }
        for number, name in enumerate(names)
    }
    figure = frontier(metrics)
    points = [line for line in figure.axes[0].lines if np.isfinite(line.get_xdata()).all()]
    assert len(points) == 28
    assert [text.get_text() for text in figure.axes[0].texts][:1] == ["variant 0"]
    assert boxes_are_apart(figure)
    level = {
        "depth_m": 5.0,
        "wavenumber_cycles_per_cell": [0.1, 0.2, 0.3],
        "power_truth_K2": [2.0, 1.0, 0.0],
        "power_reconstruction_K2": [1.0, 1.0, 1.0],
    }
    spectra = {name: {"surface": [level], "thermocline": []} for name in names}
    line = spectra_ratios(spectra).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 1.0, np.nan])
    profile = {"temperature": [1.0, None], "salinity": [2.0, 3.0]}
    profiles = rmse_profiles(dict.fromkeys(names, profile), [5.0, 50.0])
    assert np.isnan(profiles.axes[0].lines[0].get_xdata()[1])
