"""Wall time and memory of the stages of a run, recorded in its cost.json."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from training.log import write_json


def timed(name: str, stage: Callable[[], object], *, directory: Path) -> None:
    """Call `stage` and add its wall time and the largest process so far to the run's cost."""
    start = time.monotonic()
    try:
        stage()
    finally:
        cost = read_cost(directory)
        seconds = cost.get(f"{name}_seconds", 0.0) + time.monotonic() - start
        cost[f"{name}_seconds"] = round(seconds, 1)
        cost["largest_process_GiB"] = max(cost.get("largest_process_GiB", 0.0), largest_process())
        write_json(directory / "cost.json", {**cost})


def read_cost(directory: Path) -> dict[str, float]:
    """Wall seconds of each stage of the run in `directory`, summed over its resumptions."""
    path = directory / "cost.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def largest_process() -> float:
    """Peak memory [GiB] of this process or of its largest child."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1024**3 if sys.platform == "darwin" else 1024**2
    return round(max(resource.getrusage(user).ru_maxrss for user in users) / unit, 2)
