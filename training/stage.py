"""A stage: a training whose product is one folder, published whole and never made twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from data.atomic import atomic_folder

RECORD = "stage.json"
Record = dict[str, object]


@dataclass(frozen=True)
class Stage:
    """Where a stage works and what its product depends on.

    directory: of checkpoints and logs; product: the folder that the stage makes; record: the
    settings and digests that the product depends on
    """

    directory: Path
    product: Path
    record: Record

    @property
    def is_done(self) -> bool:
        """Whether the product was made with exactly these settings."""
        path = self.product / RECORD
        return path.is_file() and json.loads(path.read_text()) == _plain(self.record)

    def publish(self, write: Callable[[Path], object], *, accelerator: Accelerator) -> None:
        """Let the main process `write` the product: it appears whole, or not at all."""
        if accelerator.is_main_process:
            with atomic_folder(self.product) as partial:
                write(partial)
                record = json.dumps(_plain(self.record), indent=2, sort_keys=True)
                (partial / RECORD).write_text(record)
        accelerator.wait_for_everyone()


def differing_settings(product: Path, record: Record) -> list[str]:
    """Keys of `record` in which the folder `product` was made with other settings."""
    path = product / RECORD
    stored = json.loads(path.read_text()) if path.is_file() else {}
    return [key for key, value in _plain(record).items() if stored.get(key) != value]


def _plain(record: Record) -> Record:
    """The record as JSON gives it back."""
    return json.loads(json.dumps(record, default=str))
