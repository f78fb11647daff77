"""A stage: a training with one folder as its product, published atomically and made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from data.atomic import atomic_folder
from data.checks import are_finite
from data.checksums import check_file, write_checksums
from data.documents import read_object
from data.errors import UserError
from training.environment import write_environment
from training.launch import on_main
from training.records import RECORD, Record, as_json, differences


@dataclass(frozen=True)
class Stage:
    """Folders of a stage, and the record of what its product depends on.

    directory: checkpoints and logs
    product: the folder that the stage makes
    record: settings and digests that the product depends on
    """

    directory: Path
    product: Path
    record: Record

    @property
    def is_done(self) -> bool:
        """Whether the product was made with exactly these settings.

        Raises `UserError` if the record is damaged.
        """
        return _record_of(self.product) == as_json(self.record)

    def publish(self, write: Callable[[Path], object]) -> None:
        """Let the main process `write` the product atomically; checksums are added.

        Raises `UserError` if a network in the product holds numbers that are not finite.
        """
        on_main(lambda: self._publish(write))

    def _publish(self, write: Callable[[Path], object]) -> None:
        with atomic_folder(self.product) as partial:
            write(partial)
            self._check_finite(partial)
            record = json.dumps(as_json(self.record), indent=2, sort_keys=True)
            (partial / RECORD).write_text(record)
            write_environment(partial)
            write_checksums(partial)

    def _check_finite(self, folder: Path) -> None:
        for file in sorted(folder.rglob("*.safetensors")):
            if not are_finite(load_file(file).values()):
                raise UserError(
                    f"{file.relative_to(folder)} of {self.product} would hold numbers that are not "
                    f"finite; remove the last checkpoint in {self.directory} to go on from the one "
                    "before, or lower the learning rate and train again"
                )


def differing_settings(product: Path, record: Record) -> list[str]:
    """Settings of `record` that the folder `product` was not made with, as section.key."""
    stored = _record_of(product) or {}
    return [
        name
        for key, value in as_json(record).items()
        for name in differences(value, stored.get(key), name=key)
    ]


def unknown_settings(product: Path, record: Record) -> list[str]:
    """Settings within the sections of `record` that `product` was made with, and that it lacks."""
    stored = _record_of(product) or {}
    current = as_json(record)
    return [
        key
        for section, values in current.items()
        if isinstance(values, dict) and isinstance(stored.get(section), dict)
        for key in stored[section]
        if key not in values
    ]


def _record_of(product: Path) -> dict[str, Any] | None:
    """The record of a product; None if there is no product."""
    path = product / RECORD
    if not path.is_file():
        return None
    check_file(path)
    return read_object(path, advice=f"make {product} again")
