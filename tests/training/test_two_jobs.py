"""Jobs of two processes: stopped by a scheduler, and left alone by their launcher."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import halocline
from data.archive.reader import StateArchive
from data.locks import LOCK
from tests.faults.subjects import make_netcdf
from tests.jobs import ROOT, command, wait_until
from training.records import checkpoints_in

pytestmark = pytest.mark.slow

TIMEOUT = 300  # seconds

# Runs a command; the second process alone gets a signal, before the step at sample 8.
SIGNALLED = """
import os, signal, sys
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

# `halocline run` without what follows the data.
DATA_ALONE = """
import sys
import configs.stages
import halocline
halocline.training_stages = lambda run: []
configs.stages.sample_rows = halocline.judge = halocline.export = lambda run: None
halocline.main(sys.argv[1:])
"""


@pytest.fixture
def start_two(launch_environment):
    """Starts two processes as srun does, without a launcher: `start_two("-c", "...")`."""
    started: list[subprocess.Popen] = []

    def start(*words: str) -> list[int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        jobs = [
            subprocess.Popen(
                [sys.executable, *words],
                env=launch_environment | shared | {"RANK": rank, "LOCAL_RANK": rank},
                cwd=ROOT,
            )
            for rank in "01"
        ]
        started.extend(jobs)
        return [job.wait(timeout=TIMEOUT) for job in jobs]

    yield start
    for job in started:
        job.kill()


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
    finally:
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
    with pytest.raises(SystemExit, match=rf"run is used by process \d+ on {socket.gethostname()}"):
        halocline.main(["train", "autoencoder", config])
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
