"""Packages that only some commands need, and the extra of Halocline that installs each."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec

EXTRAS = {
    "matplotlib": "report",
    "cmocean": "report",
    "tensorboard": "train",
    "veros": "basin",
    "iterative_ensemble_smoother": "smoothers",
    "aiohttp": "remote",
    "pyarrow": "kerchunk",
    "dask": "dask",
}
LEFT_OUT = {  # by commands that go on without the package
    "matplotlib": "no figures are drawn",
    "tensorboard": "no training curves are written for TensorBoard",
    "veros": "the basin is not integrated",
}


def is_installed(package: str) -> bool:
    """Whether a package is there; it is not imported."""
    return find_spec(package) is not None


def lack_of(package: str) -> str:
    """That one of `EXTRAS` is not installed, and how to install it; without a full stop."""
    return f"{package} is not installed: pip install 'halocline[{EXTRAS[package]}]'"


@cache
def lacks(package: str) -> bool:
    """Whether one of `LEFT_OUT` is missing; if so, a line on standard error says what that costs.

    The line is printed once, by the first of several launched processes.
    """
    if is_installed(package):
        return False
    if os.environ.get("RANK", "0") == "0":
        print(f"halocline: {LEFT_OUT[package]}, because {lack_of(package)}", file=sys.stderr)
    return True
