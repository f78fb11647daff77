"""Jobs of two processes: stopped by a scheduler, and left alone by their launcher."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time

import pytest

import halocline
from data.archive.reader import StateArchive
from data.locks import LOCK
from tests.faults.subjects import make_netcdf
from tests.jobs import ROOT, command, wait_until
from training.cost import read_cost
from training.records import checkpoints_in

pytestmark = pytest.mark.slow

TIMEOUT = 300  # seconds

# Runs a command; the second process alone gets a signal, before the step at sample 8. Connections
# that are left open end a process with SIGABRT, now and then. (What is registered first runs last.)
SIGNALLED = """
import atexit, os, signal, sys
import torch.distributed
atexit.register(lambda: os._exit(3) if torch.distributed.is_initialized() else None)
import halocline
from training.loop import Trainer
step = Trainer.step
def signalled(trainer, batch):
    if trainer.counter == 8 and os.environ["RANK"] == "1":
        signal.raise_signal(signal.SIGUSR1)
    return step(trainer, batch)
Trainer.step = signalled
halocline.main(sys.argv[1:])
"""

# `halocline run` whose evaluation, after a second of sampling, is refused.
REFUSED = """
import sys, time
from pathlib import Path
import configs.stages
import halocline
from data.errors import UserError
def refuse(run):
    with (run.directory / "evaluations").open("a") as file:
        print("evaluated", file=file)
    raise UserError("these states are refused")
halocline.training_stages = lambda run: []
configs.stages.sample_rows = lambda run: time.sleep(1)
halocline.judge = refuse
halocline.main(sys.argv[1:])
"""

# `halocline run` without what follows the data.
DATA_ALONE = """
import sys
import configs.stages
import halocline
halocline.training_stages = lambda run: []
configs.stages.sample_rows = halocline.judge = halocline.export = lambda run: None
halocline.main(sys.argv[1:])
"""


def test_two_processes_stop_at_the_same_sample_and_continue(
    write_tiny_config, start_two, tmp_path, assert_same_training
):
    config = str(write_tiny_config(tmp_path))
    whole, parted = (f"--run_directory={tmp_path / name}" for name in ("whole", "parted"))
    train = ("train", "autoencoder", config, "--autoencoder.training.samples=24")
    assert start_two("-m", "halocline", *train, whole) == [0, 0]
    assert start_two("-c", SIGNALLED, *train, parted) == [75, 75]
    directory = tmp_path / "parted" / "autoencoder"
    stopped = ["checkpoint-000000008", "checkpoint-000000012"]
    assert [path.name for path in checkpoints_in(directory)] == stopped
    assert not (tmp_path / "parted" / LOCK).exists()
    assert start_two("-m", "halocline", *train, parted) == [0, 0]
    assert_same_training(tmp_path / "whole" / "autoencoder", directory)


def test_workers_of_a_killed_launcher_keep_others_out_and_end(
    write_tiny_config, launch_environment, tmp_path
):
    config = str(write_tiny_config(tmp_path))
    endless = ("train", "autoencoder", config, "--autoencoder.training.samples=1000000")
    launcher = subprocess.Popen(
        command(*endless, processes=2),
        env=launch_environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        stage = tmp_path / "run" / "autoencoder"
        wait_until(lambda: checkpoints_in(stage), seconds=TIMEOUT)
        first = json.loads((tmp_path / "run" / LOCK).read_text())["pid"]
        os.kill(first, signal.SIGSTOP)  # it cannot end before the other job has asked
    finally:
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
    try:
        with pytest.raises(SystemExit, match=rf"used by process {first} on {socket.gethostname()}"):
            halocline.main(["train", "autoencoder", config])
    finally:
        os.kill(first, signal.SIGCONT)
    wait_until(lambda: not (tmp_path / "run" / LOCK).exists(), seconds=60)
    trained = checkpoints_in(stage)
    time.sleep(1)
    assert checkpoints_in(stage) == trained
    assert not list(stage.rglob(f"*-{os.getpid()}.partial"))


def test_one_of_two_processes_reads_the_model_output(write_tiny_config, start_two, tmp_path):
    archive = tmp_path / "new.zarr"
    ingest = {
        "reader": "cf",
        "files": f"[{make_netcdf(tmp_path, times=24)}]",
        "equation_of_state": "veros-vallis",
        "split": "{train: 0.5, validation: 0.2, gap_years: 0}",
    }
    words = [f"--data.ingest.{key}={value}" for key, value in ingest.items()]
    run = ("run", str(write_tiny_config(tmp_path)), f"--data.archive={archive}", *words)
    assert start_two("-c", DATA_ALONE, *run) == [0, 0]
    assert len(StateArchive.open(archive)) == 24


def test_what_fails_in_one_process_ends_both_with_its_sentence(
    write_tiny_config, start_two, tmp_path
):
    config = str(write_tiny_config(tmp_path))
    assert start_two("-c", REFUSED, "run", config) == [1, 1]
    for errors in tmp_path.glob("errors-*"):
        told = [line for line in errors.read_text().splitlines() if "halocline:" in line]
        assert told == ["halocline: these states are refused"]
        assert "Traceback" not in errors.read_text()
    assert (tmp_path / "run" / "evaluations").read_text() == "evaluated\n"
    assert 1 <= read_cost(tmp_path / "run")["sampling_seconds"] < 2
