"""Records of a run: metrics as JSON lines, keyed by the sample counter, and JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.atomic import atomic_write


class MetricsLog:
    """Appends to `path`; a resumed run first deletes lines after its checkpoint."""

    def __init__(self, path: Path, *, resume_at: int) -> None:
        self._path = path
        kept = [line for line in read_log(path) if line["samples"] <= resume_at]
        with atomic_write(path) as partial:
            partial.write_text("".join(_as_json(line) + "\n" for line in kept))

    def write(self, counter: int, values: dict[str, float]) -> None:
        """Add one line."""
        with self._path.open("a") as file:
            file.write(_as_json({"samples": counter, **values}) + "\n")


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log without incomplete ones; empty if there is no log."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` atomically; NaN and infinity become null."""
    with atomic_write(path) as partial:
        partial.write_text(_as_json(content, indent=2) + "\n")


def _as_json(content: Mapping[str, object], *, indent: int | None = None) -> str:
    """Standard JSON, which has neither NaN nor infinity."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(result: dict[str, Any], output: Path | None) -> None:
    """Print a measurement as JSON and write it to `output` if that is given."""
    print(_as_json(result, indent=2))
    if output:
        write_json(output, result)
