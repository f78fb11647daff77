"""Whether a stage's product stands, and how it is put in place whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

RECORD = "stage.json"


def is_done(product: Path, record: dict[str, object]) -> bool:
    """Whether the folder `product` was made with exactly the settings of `record`."""
    path = product / RECORD
    return path.is_file() and json.loads(path.read_text()) == _plain(record)


def put_in_place(product: Path, record: dict[str, object], write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary folder, then make it `product`: whole, or not at all."""
    partial = product.with_name(product.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    (partial / RECORD).write_text(json.dumps(_plain(record), indent=2, sort_keys=True))
    shutil.rmtree(product, ignore_errors=True)
    os.replace(partial, product)


def _plain(record: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(record, default=str))
