"""Provenance of a result: command, commit, machine and versions."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from pathlib import Path

import torch

from training.environment import commit, package_version

PACKAGES = ("torch", "diffusers", "accelerate", "numpy", "numba", "zarr", "xarray", "veros")


def provenance(*, seeds: dict[str, int]) -> dict[str, object]:
    """Command, commit, machine class, package versions and seeds, ready for JSON."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine_class(),
        "versions": {name: package_version(name) for name in PACKAGES},
        "seeds": seeds,
    }


def machine_class() -> str:
    """Description of processor, number of cores, memory and GPU."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{_processor()}, {os.cpu_count()} cores, {_memory_gib()} GiB memory, {gpu}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
