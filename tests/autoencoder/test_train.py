"""The autoencoder stage."""

from __future__ import annotations

import json

import pytest

from autoencoder.train import design_codec
from configs.stages import train_codec
from data.errors import UserError
from training.loop import Trainer


def _directory(experiment, name):
    return experiment.with_settings(run_directory=experiment.directory / name)


def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny_run, interrupt_training, assert_same_training
):
    experiment = tiny_run("--autoencoder.training.samples", "24")
    whole, parted = _directory(experiment, "whole"), _directory(experiment, "parted")
    train_codec(whole)
    interrupt_training(train_codec, parted, at=12)  # four samples after a checkpoint
    assert (parted.directory / "autoencoder" / "checkpoint-000000008").is_dir()
    assert not parted.codec_folder.exists()
    train_codec(parted)
    assert_same_training(whole.directory / "autoencoder", parted.directory / "autoencoder")
    assert parted.codec().fingerprint == whole.codec().fingerprint


def test_training_on_windows_resumes_exactly(tiny_run, interrupt_training, assert_same_training):
    experiment = tiny_run(
        *("--autoencoder.training.samples", "24"),
        *("--autoencoder.training.window", "[6, 5]"),
        *("--autoencoder.training.gradient_checkpointing", "true"),
    )
    whole, parted = _directory(experiment, "whole"), _directory(experiment, "parted")
    train_codec(whole)
    interrupt_training(train_codec, parted, at=12)
    train_codec(parted)
    assert_same_training(whole.directory / "autoencoder", parted.directory / "autoencoder")
    assert parted.codec().fingerprint == whole.codec().fingerprint


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("--autoencoder.training.batch_size", "8"), "batch_size"),
        (("--autoencoder.training.learning_rate", "0.5"), "learning_rate"),
        (("--autoencoder.losses.kl", "0.1"), r"losses\.kl"),
        (("--autoencoder.losses.latent_jitter", "0.1"), r"losses\.latent_jitter"),
        (("--autoencoder.channels", "[16]"), "channels"),
        (("--autoencoder.mixing", "false"), "mixing"),
        (("--autoencoder.training.window", "[8, 8]"), "window"),
    ],
)
def test_a_checkpoint_of_other_settings_is_not_resumed(
    tiny_run, interrupt_training, overrides, named
):
    interrupt_training(train_codec, tiny_run(), at=8)
    with pytest.raises(UserError, match=f"other settings.*{named}"):
        train_codec(tiny_run(*overrides))


def test_a_checkpoint_of_other_data_is_not_resumed(
    tiny_run, interrupt_training, write_tiny_archive, tmp_path
):
    interrupt_training(train_codec, tiny_run(), at=8)
    other = write_tiny_archive(tmp_path / "other.zarr", seed=1)
    with pytest.raises(UserError, match=r"other settings \(data differ"):
        train_codec(tiny_run("--data.archive", str(other)))


def test_a_finished_stage_is_not_repeated(trained, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    train_codec(trained)


@pytest.mark.slow
def test_training_lowers_the_validation_loss(tiny_run):
    experiment = tiny_run(
        *("--autoencoder.training.samples", "320"),
        *("--autoencoder.training.learning_rate", "1e-2"),
        *("--autoencoder.training.validation_samples", "80"),
    )
    train_codec(experiment)
    log = (experiment.directory / "autoencoder" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["validation/reconstruction"] for line in log]
    assert len(losses) == 4
    assert losses[-1] < 0.7 * losses[0]
    assert losses[-1] < 0.8  # 1 is the climatology


def test_a_run_without_training_states_is_refused(tiny_run, tmp_path):
    with pytest.raises(UserError, match=r"absent\.zarr does not exist"):
        train_codec(tiny_run("--data.archive", str(tmp_path / "absent.zarr")))


@pytest.mark.parametrize("size", [(1, 12, 8), (5, 1, 1)])
def test_an_ocean_without_columns_to_learn_from_is_refused_before_training(tiny_experiment, size):
    levels, rows, columns = size
    ocean = {"levels": levels, "rows": rows, "columns": columns}
    with pytest.raises(UserError, match=f"{levels} levels, {rows} rows and {columns} columns"):
        design_codec(tiny_experiment().autoencoder, ocean, diffusion_stages=2)
