"""Time and memory of the stages of a run, recorded in its cost.json."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from training.log import write_json


def timed(name: str, stage: Callable[[], object], *, directory: Path) -> None:
    """Call `stage`; add its wall and processor time and the largest process to the run's cost.

    Of several processes the main one does so, for itself. Processor time is that of all threads of
    this process.
    """
    from training.launch import launched_processes  # PyTorch would delay `halocline --help`

    if not launched_processes().is_main_process:
        stage()
        return
    start, processor_start = time.monotonic(), time.process_time()
    try:
        stage()
    finally:
        cost = read_cost(directory)
        _add(cost, f"{name}_seconds", time.monotonic() - start)
        _add(cost, f"{name}_processor_seconds", time.process_time() - processor_start)
        cost["largest_process_GiB"] = max(cost.get("largest_process_GiB", 0.0), largest_process())
        write_json(directory / "cost.json", {**cost})


def read_cost(directory: Path) -> dict[str, float]:
    """Wall and processor seconds of each stage of a run, summed over its resumptions."""
    path = directory / "cost.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def largest_process() -> float:
    """Peak memory [GiB] of this process or of its largest child."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1024**3 if sys.platform == "darwin" else 1024**2
    return round(max(resource.getrusage(user).ru_maxrss for user in users) / unit, 2)


def _add(cost: dict[str, float], key: str, seconds: float) -> None:
    cost[key] = round(cost.get(key, 0.0) + seconds, 1)


def as_time(seconds: float) -> str:
    """A duration as `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
