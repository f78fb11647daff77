"""Finished batches of an ensemble, one file each, until all of them are merged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from data.atomic import atomic_write
from data.errors import UserError
from data.state import State
from data.tensor_sums import load_tensors, save_tensors
from training.environment import environment, warn_of_other_environment


@dataclass(frozen=True)
class Parts:
    """The batches of one ensemble in a folder.

    record: everything that determines the states, as JSON
    members: number of members of the ensemble
    batch_size: members in a batch; the last may have fewer
    """

    folder: Path
    record: str
    members: int
    batch_size: int

    @property
    def batches(self) -> list[range]:
        """The member numbers of each batch."""
        starts = range(0, self.members, self.batch_size)
        return [range(start, min(start + self.batch_size, self.members)) for start in starts]

    def store(self, batch: range, state: State) -> None:
        """Keep the states of a batch, with their member numbers and what they were made from."""
        about = self._origin(batch) | {"environment": json.dumps(environment())}
        with atomic_write(self._path(batch)) as partial:
            save_tensors({"state": state.to_channels()}, partial, about=about)

    def holds(self, batch: range) -> bool:
        """Whether a batch is kept; False for a file that is damaged or of other members.

        Warns if it was drawn in another environment.
        """
        try:
            _, about = self._load(batch)
        except UserError:
            return False
        warn_of_other_environment(self._path(batch), json.loads(about["environment"]))
        return True

    def states(self, *, levels: int) -> Iterator[tuple[int, State]]:
        """Every member's number and state, in order.

        Raises `UserError` if a batch is missing, damaged or of other members.
        """
        for batch in self.batches:
            channels, _ = self._load(batch)
            for member, one in zip(batch, channels, strict=True):
                yield member, State.from_channels(one[None], levels=levels)

    def _load(self, batch: range) -> tuple[Tensor, dict[str, str]]:
        path = self._path(batch)
        tensors, about = load_tensors(path)
        origin = self._origin(batch)
        if origin != {name: about.get(name) for name in origin}:
            raise UserError(
                f"{path} does not hold the members {batch.start} to {batch.stop - 1} of this "
                "ensemble; remove it and sample again."
            )
        return tensors["state"], about

    def _origin(self, batch: range) -> dict[str, str]:
        # The record may hold the conditions of all members: in each part it would take memory and
        # disk that grow with the square of their number.
        record = hashlib.sha256(self.record.encode()).hexdigest()
        return {"sampling_sha256": record, "members": json.dumps(list(batch))}

    def _path(self, batch: range) -> Path:
        return self.folder / f"{batch.start:07d}.safetensors"
