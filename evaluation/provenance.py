"""Provenance of a result: command, commit, date, machine, versions, precision and data."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from data.documents import read_object
from data.errors import UserError
from training.environment import commit, package_version
from training.records import latest_checkpoint

IDENTITY = "identity.json"  # of a checkpoint
SINGLE = "fp32"
PACKAGES = ("torch", "diffusers", "accelerate", "numpy", "numba", "zarr", "xarray", "veros")


def provenance(*, seeds: dict[str, int]) -> dict[str, object]:
    """Command, commit, date, machine class, package versions and seeds, ready for JSON."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_class(),
        "versions": {name: package_version(name) for name in PACKAGES},
        "seeds": seeds,
    }


def trained_precision(folders: Mapping[str, Path]) -> dict[str, str]:
    """Precision in which each stage was trained, from its last checkpoint; without unknown ones.

    folders: of the stages, by name
    """
    found = {}
    for name, folder in folders.items():
        checkpoint = latest_checkpoint(folder)
        precision = _precision_of(checkpoint) if checkpoint else None
        if precision:
            found[name] = SINGLE if precision == "no" else precision
    return found


def _precision_of(checkpoint: Path) -> str | None:
    """The precision that a checkpoint notes; None if it is damaged or notes none."""
    with suppress(UserError):
        identity = read_object(checkpoint / IDENTITY, advice="remove this checkpoint")
        precision = identity.get("mixed_precision")
        return precision if isinstance(precision, str) else None
    return None


def facts(origin: Mapping[str, Any]) -> dict[str, str]:
    """A provenance as text by name, for a page; what is not known is left out."""
    precision = _pairs(origin.get("precision"))
    found = {
        "command": origin.get("command"),
        "date": _day(origin.get("date")),
        "commit": origin.get("commit"),
        "machine": origin.get("machine"),
        "versions": _pairs(origin.get("versions")),
        "precision": precision and f"training: {precision}; metrics: float64",
        "seeds": _pairs(origin.get("seeds")),
        "data": origin.get("data"),
        "model": origin.get("model"),
    }
    return {name: str(text) for name, text in found.items() if text}


def _pairs(values: Mapping[str, object] | None) -> str:
    """The values of a record in a line, without those that are missing."""
    known = {name: value for name, value in (values or {}).items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in known.items())


def _day(date: str | None) -> str:
    """A date of ISO 8601 as people write it."""
    if not date:
        return ""
    when = datetime.fromisoformat(date)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


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
