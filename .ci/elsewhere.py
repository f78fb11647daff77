"""Uses an installed Halocline, in the working directory: called by `.ci/wheel`."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import xarray as xr
import yaml

from configs import load_experiment
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from halocline import main

STATES = 16  # of the shipped archive, for a tiny model
TRAINING = {"samples": 8, "batch_size": 4, "warmup_samples": 4, "precision": "fp32"}
TRAINING |= {"checkpoint_samples": 8, "validation_samples": 8}
TINY = {
    "base": "quickstart",
    "name": "tiny",
    "run_directory": "runs/tiny",
    "data": {"archive": "tiny.zarr"},
    "autoencoder": {
        **{"latent_channels": 4, "channels": [8], "blocks": 1, "linear_path": False},
        **{"losses": {"kl": 1e-3}, "training": TRAINING},
    },
    "diffusion": {"channels": [8, 16], "blocks": 1, "attention": False, "training": TRAINING},
    "conditions": None,
    "integration": None,
    "sampling": {"members": 1, "steps": 4},
    "guidance": {"start": 0.9},
}
HALOCLINE = sys.argv[1]
FIRST = ("--sampling.members", "1")
MOST_SECONDS = 60  # of processor time, to the first state after the installation


def use() -> None:
    """From nothing but the wheel to a NetCDF file with a state, and the sentences on the way."""
    for package in ("matplotlib", "tensorboard", "veros", "dask"):
        assert find_spec(package) is None, f"{package} is no core dependency, but it is installed"
    halocline("--version")
    assert "quickstart" in halocline("--help")
    assert "data         done" in halocline("status", "quickstart")
    before = processor_seconds()
    halocline("sample", "data/models/quickstart", *FIRST, "--output", "first.nc")
    taken = processor_seconds() - before
    print(f"the first state took {taken:.0f} s of processor time")
    assert taken < MOST_SECONDS
    check_state(Path("first.nc"))
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))
    write_tiny_archive(Path("tiny.zarr"))
    for stage in ("autoencoder", "diffusion"):
        main(["train", stage, "tiny.yaml"])  # in this process: PyTorch is imported only once
    halocline("sample", "tiny.yaml", "--output", "state.nc")
    check_state(Path("state.nc"))
    refused("sensitivity", "tiny.yaml", "--to", "warming=1", says="halocline[report]")
    refused("simulate", "ensemble", "--data.archive", "new.zarr.zip", says="halocline[basin]")
    refused("simulate", "ensemble", says="--data.archive")
    Path("data.py").write_text("mine = True\n")
    refused("--version", says="hides Halocline's package data", command=("-m", "halocline"))
    halocline("--version")  # the installed script does not look into the working directory
    print("the wheel works elsewhere")


def write_tiny_archive(path: Path) -> None:
    """A few states of the shipped archive, for training, validation and test."""
    shipped = StateArchive.open(load_experiment(Path("quickstart")).data.stored)
    chosen = np.linspace(0, len(shipped) - 1, STATES).astype(int)
    with ArchiveWriter(
        path,
        grid=shipped.grid,
        equation_of_state=shipped.equation_of_state,
        salinity_units=shipped.salinity_units,
    ) as writer:
        for number, index in enumerate(chosen):
            split = max(number - STATES + 3, 0)
            writer.append(shipped.read([index]), member=0, time=float(number), split=split)


def halocline(*words: str) -> str:
    """What a command prints; it must succeed."""
    print("halocline", *words, end=" ", flush=True)
    began = time.monotonic()
    ended = subprocess.run([HALOCLINE, *words], capture_output=True, text=True)
    print(f"({time.monotonic() - began:.1f} s)", flush=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def processor_seconds() -> float:
    """Of all commands so far: on a busy machine the clock says little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refused(*words: str, says: str, command: tuple[str, ...] = (HALOCLINE,)) -> None:
    """A command must end with one sentence that has the words `says`."""
    program = command if command[0] == HALOCLINE else (sys.executable, *command)
    ended = subprocess.run([*program, *words], capture_output=True, text=True)
    assert ended.returncode == 1, ended.stdout
    lines = ended.stderr.splitlines()
    assert len(lines) == 1 and says in lines[0], ended.stderr
    print(lines[0])


def check_state(path: Path) -> None:
    """The file holds one state of sea water."""
    with xr.open_dataset(path) as states:
        for name, low, high in (("thetao", -10, 50), ("so", 20, 50)):
            values = states[name].to_numpy()
            assert values.shape[0] == 1
            assert np.isfinite(values).any()
            assert low < np.nanmin(values) and np.nanmax(values) < high


if __name__ == "__main__":
    use()
