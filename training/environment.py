"""What numbers depend on to rounding: versions of the code and of torch, device and threads."""

from __future__ import annotations

import json
import subprocess
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ENVIRONMENT = "environment.json"


def environment() -> dict[str, str]:
    """Versions, device and number of threads of this process."""
    gpu = torch.cuda.is_available()
    return {
        "halocline": str(package_version("halocline")),
        "commit": commit(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if gpu else torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def write_environment(folder: Path) -> None:
    """Write this process's environment to environment.json in `folder`."""
    (folder / ENVIRONMENT).write_text(json.dumps(environment(), indent=2) + "\n")


def warn_of_other_environment(path: Path, stored: dict[str, str]) -> None:
    """Warn if `path`, from which a run continues, was made in another environment.

    stored: the environment of its making; empty if that is not known
    """
    now = environment()
    changes = [
        f"{name} {stored[name]} instead of {value}"
        for name, value in now.items()
        if stored.get(name, value) != value
    ]
    if changes:
        warnings.warn(
            f"{path} was made with {', '.join(changes)}: the numbers will differ from those of an "
            "uninterrupted run, usually in the last digits.",
            stacklevel=2,
        )


def package_version(package: str) -> str | None:
    """Version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def commit() -> str:
    """Commit of the checkout, with "+changes" if files differ; "unknown" outside a checkout."""
    try:
        here = Path(__file__).resolve().parent
        # An installed package may lie in an environment within somebody else's checkout.
        if Path(_git(here, "rev-parse", "--show-toplevel")).resolve() != here.parent:
            return "unknown"
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        return head + ("+changes" if _git(here, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
