"""Provenance of a result: command, commit, machine and versions."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("torch", "diffusers", "accelerate", "numpy", "numba", "zarr", "xarray", "veros")


def provenance(*, seeds: dict[str, int]) -> dict[str, object]:
    """Command, commit, machine class, package versions and seeds, ready for JSON."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _commit(),
        "machine": machine_class(),
        "versions": {name: _version(name) for name in PACKAGES},
        "seeds": seeds,
    }


def machine_class() -> str:
    """Description of processor, number of cores, memory and GPU."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{_processor()}, {os.cpu_count()} cores, {_memory_gib()} GiB memory, {gpu}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _commit() -> str:
    """Commit of the checkout, with "+changes" if files differ; "unknown" outside a checkout."""
    try:
        here = Path(__file__).resolve().parent
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        return head + ("+changes" if _git(here, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
