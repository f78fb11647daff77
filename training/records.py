"""What a training leaves on disk, read without PyTorch: records and names of checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path

RECORD = "stage.json"
Record = dict[str, object]
PREFIX = "checkpoint-"
NAME = re.compile(rf"{PREFIX}\d{{9,}}")


def differences(value: object, other: object, *, name: str = "") -> list[str]:
    """Dotted names below `name` of what differs between two values as JSON holds them."""
    if isinstance(value, dict) and isinstance(other, dict):
        return [
            found
            for key in value | other
            for found in differences(
                value.get(key), other.get(key), name=f"{name}.{key}" if name else key
            )
        ]
    return [] if value == other else [name]


def as_json(record: Record) -> Record:
    """The record after a round trip through JSON."""
    return json.loads(json.dumps(record, default=str))


def checkpoints_in(directory: Path) -> list[Path]:
    """The checkpoints in `directory`, by sample counter."""
    found = [path for path in directory.glob(f"{PREFIX}*") if NAME.fullmatch(path.name)]
    return sorted(found, key=counter_of)


def latest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint with the highest sample counter, None if there is none."""
    return max(checkpoints_in(directory), key=counter_of, default=None)


def counter_of(checkpoint: Path) -> int:
    """The sample counter at which a checkpoint was written."""
    return int(checkpoint.name[len(PREFIX) :])
