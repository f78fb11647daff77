"""Trainings that are stopped by signals, and trainings that diverge."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch

from configs.stages import train_codec, train_denoiser
from data.errors import Stopped, UserError
from training.loop import Trainer
from training.records import checkpoints_in
from training.stopping import stopping_on_signals

pytestmark = pytest.mark.slow
STAGES = {"autoencoder": train_codec, "diffusion": train_denoiser}


@pytest.fixture
def run_in(tiny_run, tmp_path):
    """Makes runs of 24 samples: `run_in("here", "--section.key", "value")`."""

    def make(name: str, *overrides: str):
        lengths = [f"--{stage}.training.samples=24" for stage in STAGES]
        return tiny_run("--run_directory", str(tmp_path / name), *lengths, *overrides)

    return make


def _counters(directory: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in checkpoints_in(directory)]


def _at(monkeypatch, counter: int, do) -> None:
    """Call `do(trainer)` before the step at `counter`, once."""
    step, done = Trainer.step, []

    def patched(trainer, batch):
        if trainer.counter == counter and not done:
            done.append(True)
            do(trainer)
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "step", patched)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_a_checkpoint_at_once(run_in, monkeypatch, number):
    run = run_in("run")
    _at(monkeypatch, 8, lambda _: signal.raise_signal(number))
    with pytest.raises(Stopped), stopping_on_signals():
        train_codec(run)
    assert _counters(run.directory / "autoencoder") == [8, 12]


def test_a_training_says_what_is_to_come(run_in, monkeypatch, capsys):
    run = run_in("run")
    _at(monkeypatch, 8, lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped), stopping_on_signals():
        train_codec(run)
    assert "autoencoder: 24 samples in 6 steps of 4\n" in capsys.readouterr().out
    train_codec(run)
    assert "in 6 steps of 4; continues at sample 12\n" in capsys.readouterr().out


def test_a_training_says_how_long_the_rest_takes(run_in, monkeypatch, capsys):
    """After its first steps, in a line; a training that ends with them says nothing."""
    monkeypatch.setattr("training.loop.WARM", 1)
    monkeypatch.setattr("training.loop.TIMED", 3)
    train_codec(run_in("run"))
    told = r"^autoencoder: about 0:\d\d:\d\d to the end, 2 steps$"
    assert re.search(told, _printed(capsys), re.MULTILINE)
    train_codec(run_in("short", "--autoencoder.training.samples=16"))
    assert "to the end" not in _printed(capsys)


def test_curves_for_tensorboard_lie_in_the_folder_of_the_stage(run_in, monkeypatch):
    monkeypatch.setenv("HALOCLINE_TRACKERS", "tensorboard")
    run = run_in("run")
    train_codec(run)
    folders = {path.parent for path in run.directory.rglob("events.out.*")}
    assert folders == {run.directory / "autoencoder"}


def _printed(capsys) -> str:
    return capsys.readouterr().out


def test_signals_at_random_times_change_nothing(run_in, assert_same_training):
    whole, parted = run_in("whole"), run_in("parted")
    draw = random.Random(0)
    for name, stage in STAGES.items():
        stage(whole)
        for _ in range(4):
            number = draw.choice([signal.SIGTERM, signal.SIGUSR1])
            timer = threading.Timer(draw.uniform(0, 0.5), os.kill, [os.getpid(), number])
            try:
                with stopping_on_signals():
                    timer.start()
                    stage(parted)
                    timer.join()
            except Stopped:
                timer.join()
        stage(parted)
        assert_same_training(whole.directory / name, parted.directory / name)
    assert parted.weights == whole.weights


@pytest.mark.parametrize(("kept", "counters"), [(1, [24]), (3, [8, 16, 24])])
def test_the_plan_says_how_many_checkpoints_are_kept(run_in, kept, counters):
    run = run_in("run", f"--autoencoder.training.checkpoints_kept={kept}")
    train_codec(run)
    assert _counters(run.directory / "autoencoder") == counters


def _rates(text: str) -> tuple[str, str]:
    return "--autoencoder.training.learning_rate", text


def test_a_diverged_training_goes_on_with_a_lower_rate(run_in, assert_same_training):
    """As if it had had this rate from the start."""
    directory = run_in("run").directory / "autoencoder"
    advice = (
        r"diverged before sample 20 .*to go on from \S+checkpoint-000000016 with a lower rate, "
        r"set autoencoder\.training\.learning_rate to \{0: 0\.001, 12: 1e\+30, 16: 3e\+29\} .*"
        r"remove this checkpoint to go on from the one before"
    )
    with pytest.raises(UserError, match=advice):
        train_codec(run_in("run", *_rates("{0: 0.001, 12: 1.0e+30}")))
    assert _counters(directory) == [8, 16]
    shutil.rmtree(directory / "checkpoint-000000016")
    with pytest.raises(UserError, match=r"other settings \(learning_rate differ"):
        train_codec(run_in("run", *_rates("0.0003")))
    lower = _rates("{0: 0.001, 8: 0.0003}")
    train_codec(run_in("run", *lower))
    whole = run_in("whole", *lower)
    train_codec(whole)
    assert_same_training(whole.directory / "autoencoder", directory)
    assert run_in("run", *lower).codec_stage.is_done


def test_a_training_that_diverges_first_of_all_leaves_nothing(run_in):
    run = run_in("run", *_rates("1.0e+30"))
    with pytest.raises(UserError, match=r"lower autoencoder\.training\.learning_rate and run"):
        train_codec(run)
    assert _counters(run.directory / "autoencoder") == []


@pytest.mark.parametrize("later", ["checkpoint_samples", "validation_samples"])
def test_an_average_that_is_not_finite_is_neither_logged_nor_kept(run_in, monkeypatch, later):
    def spoil(trainer):
        trainer.ema.shadow_params[0].view(-1)[0] = torch.nan

    _at(monkeypatch, 12, spoil)
    run = run_in("run", f"--autoencoder.training.{later}=24")
    with pytest.raises(UserError, match=r"before sample 16 .its weights or their averages are not"):
        train_codec(run)
    assert 16 not in _counters(run.directory / "autoencoder")
