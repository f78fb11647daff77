"""Commands in processes of their own, as a user or a scheduler starts them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
TWO_PROCESSES = ROOT / "configs" / "accelerate" / "two_cpu_processes.yaml"
PROCESSES = Path("/proc")


def job_environment() -> dict[str, str]:
    """For processes that a launcher starts: on the CPU, set explicitly where needed.

    Where there is no GPU, it is `training.launch` that has to know.
    """
    device = {} if not torch.accelerator.is_available() else {"ACCELERATE_USE_CPU": "true"}
    kept = {name: value for name, value in os.environ.items() if name != "ACCELERATE_USE_CPU"}
    return kept | device | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(*words: str, processes: int = 1) -> list[str]:
    """The words of a `halocline` command, for one process or for two on the CPU."""
    halocline = ["-m", "halocline", *words]
    if processes == 1:
        return [sys.executable, *halocline]
    launcher = ["accelerate.commands.launch", "--config_file", str(TWO_PROCESSES)]
    return [sys.executable, "-m", *launcher, "--main_process_port", "0", *halocline]


def wait_until(true: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait for something to be true. Raises `TimeoutError` if it is not in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} seconds")
        time.sleep(0.05)


def parent_of(pid: int) -> int | None:
    """The parent of a process that runs; None if it has ended, waited for or not."""
    try:
        state, parent = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def marked(variable: str, value: str) -> list[int]:
    """The processes that run with this variable in their environment."""
    found = []
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            f"{variable}={value}".encode() in environment
            and parent_of(int(folder.name)) is not None
        ):
            found.append(int(folder.name))
    return found
