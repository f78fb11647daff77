"""Whether a stage's product stands, and how it is put in place whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from data.atomic import whole_folder

RECORD = "stage.json"


def is_done(product: Path, record: dict[str, object]) -> bool:
    """Whether the folder `product` was made with exactly the settings of `record`."""
    path = product / RECORD
    return path.is_file() and json.loads(path.read_text()) == _plain(record)


def differing_settings(product: Path, record: dict[str, object]) -> list[str]:
    """Keys of `record` in which the folder `product` was made otherwise."""
    path = product / RECORD
    stored = json.loads(path.read_text()) if path.is_file() else {}
    return [key for key, value in _plain(record).items() if stored.get(key) != value]


def put_in_place(product: Path, record: dict[str, object], write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary folder, then make it `product`: whole, or not at all."""
    with whole_folder(product) as partial:
        write(partial)
        (partial / RECORD).write_text(json.dumps(_plain(record), indent=2, sort_keys=True))


def _plain(record: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(record, default=str))
