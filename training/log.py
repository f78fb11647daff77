"""Metrics of a training run as JSON lines, one object a line, keyed by the sample counter."""

from __future__ import annotations

import json
import os
from pathlib import Path


class MetricsLog:
    """Appends to `path`; a resumed run first drops the lines beyond its checkpoint."""

    def __init__(self, path: Path, *, resume_at: int) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_log(path) if line["samples"] <= resume_at]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(partial, path)

    def write(self, counter: int, values: dict[str, float]) -> None:
        """Add one line."""
        with self._path.open("a") as file:
            file.write(json.dumps({"samples": counter, **values}) + "\n")


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log, empty if there is none; a line cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
