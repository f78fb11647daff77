"""A run: what it refuses to open, and what it accepts."""

from __future__ import annotations

import json
import shutil

import pytest

from configs.run import Run
from configs.stages import sample_rows, train_codec, train_denoiser
from data.checksums import CHECKSUMS
from data.errors import UserError
from halocline import main
from training.records import RECORD


@pytest.fixture
def copied(trained, tmp_path) -> Run:
    """A copy of the trained run, to be changed."""
    shutil.copytree(trained.directory, tmp_path / "copied")
    return trained.with_settings(run_directory=tmp_path / "copied")


def _add_setting(product, name: str) -> None:
    record = json.loads((product / RECORD).read_text())
    record["autoencoder"][name] = True
    (product / RECORD).write_text(json.dumps(record))
    (product / CHECKSUMS).unlink()


def test_products_of_an_earlier_version_are_refused_in_one_sentence(copied):
    for product in (copied.codec_folder, copied.model_folder):
        _add_setting(product, "shortcuts")
    sentence = (
        r"earlier version of Halocline \(it has the settings shortcuts\); set --run_directory"
    )
    with pytest.raises(UserError, match=sentence):
        copied.pipeline()
    for stage in (train_codec, train_denoiser):
        with pytest.raises(UserError, match=sentence):
            stage(copied)


def test_a_model_of_other_settings_is_refused_with_what_to_do(copied):
    autoencoder = copied.settings.autoencoder.model_copy(update={"blocks": 3})
    with pytest.raises(UserError, match=r"\(autoencoder.blocks differ\); set --run_.* or remove"):
        copied.with_settings(autoencoder=autoencoder).pipeline()


@pytest.mark.parametrize("section", ["autoencoder", "diffusion"])
def test_settings_that_change_no_weight_leave_trained_models_valid(copied, section):
    settings = getattr(copied.settings, section)

    def trained_with(**changes: object) -> Run:
        training = settings.training.model_copy(update=changes)
        return copied.with_settings(**{section: settings.model_copy(update={"training": training})})

    same = trained_with(workers=2, checkpoint_samples=3, validation_samples=5)
    same.pipeline()
    assert same.codec_stage.is_done and same.denoiser_stage.is_done
    with pytest.raises(UserError, match=rf"\({section}.training.precision differ\)"):
        trained_with(precision="bf16").pipeline()


def test_a_loss_term_without_weight_leaves_trained_models_valid(copied):
    recorded = copied.codec_settings["autoencoder"]["losses"]
    assert "stratification" in recorded
    assert "spectral" not in recorded, "its weight is 0"


def test_a_section_that_no_experiment_has_is_refused(trained):
    with pytest.raises(TypeError, match="no section run_dirctory"):
        trained.with_settings(run_dirctory="elsewhere")


def test_samples_of_another_model_are_not_exported(copied, tmp_path):
    config = tmp_path / "copied.yaml"
    config.write_text(json.dumps(copied.settings.model_dump(mode="json")))
    sample_rows(copied)
    main(["export", str(config), "--output", str(tmp_path / "first.nc")])
    assert (tmp_path / "first.nc").is_file()
    words = ["export", str(config), "--output", str(tmp_path / "second.nc")]
    with pytest.raises(SystemExit, match=r"other settings \(sampling\.seed differ\)"):
        main([*words, "--sampling.seed", "5"])
    assert not (tmp_path / "second.nc").exists()
    main([*words, "--sampling.members", "5"])
    assert (tmp_path / "second.nc").exists(), "more members leave the first ones as they are"
