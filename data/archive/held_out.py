"""States that a model is judged with: of which archive, and which of its states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.archive.format import SPLITS
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.errors import UserError

ALL = "all"
TEST, TRAIN = SPLITS["test"], SPLITS["train"]


@dataclass(frozen=True)
class HeldOut:
    """The states at `indices` of an archive."""

    archive: StateArchive
    indices: NDArray[np.int64]

    @classmethod
    def of(cls, archive: StateArchive, split: str | None = None) -> HeldOut:
        """The states of a part of an archive, or of "all" parts.

        Default: the test states. Raises `UserError` if there are no such states.
        """
        if split == ALL:
            return cls(archive, np.arange(len(archive)))
        if split is None and not (archive.split == TEST).any():
            raise UserError(
                f"{archive.path} has no test states: name the part that the model is judged with, "
                f"--split {' or '.join([*_parts_of(archive), ALL])}"
            )
        return cls(archive, archive.indices(split or "test"))

    def some(self, count: int) -> NDArray[np.int64]:
        """At most `count` of the indices, evenly spaced."""
        return spread_out(self.indices, count)

    @property
    def has_training_states(self) -> bool:
        """Whether some of the states are for training, in the archive's own split."""
        return bool((self.archive.split[self.indices] == TRAIN).any())


def _parts_of(archive: StateArchive) -> list[str]:
    return [name for name, number in SPLITS.items() if (archive.split == number).any()]
