"""States larger than memory, as if they were in memory: unpacked on the disk, and mapped.

A stored state is one compressed chunk, so that one level of many states cannot be read alone. Of
what is mapped, only the pages that are used are read, and the system may drop them at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from data.archive.protocol import Archive
from data.atomic import write_errors
from data.state import State

MOST_BYTES = 2**31  # of states that are read into memory
_FLOAT = 4  # bytes


def read_mapped(
    archive: Archive, indices: Sequence[int] | NDArray[np.integer], *, folder: Path
) -> State:
    """The states at `indices`, as `archive.read` returns them.

    More than 2 GiB are unpacked to files in `folder` that have no name, and vanish with the last
    reference to the states or with the process. What is written into the state is not stored.

    Raises UserError as `archive.read` does, and if the files cannot be written.
    """
    levels, *cells = archive.grid.shape
    numbers = (2 * levels + archive.has_sea_level) * prod(cells)
    if len(indices) * numbers * _FLOAT <= MOST_BYTES:
        return archive.read(indices)
    bar = tqdm(indices, desc="unpacking", unit="state", leave=False)
    return _unpacked((archive.read([int(index)]) for index in bar), len(indices), folder)


def joined(parts: Iterable[State], *, count: int, folder: Path | None = None) -> State:
    """All `count` states of an iterator of batches, of which one is in memory at a time.

    folder: where more than 2 GiB are written as `read_mapped` does; default: they are in memory

    Raises UserError if the files cannot be written.
    """
    coming = iter(parts)
    first = next(coming)
    everything = chain([first], coming)
    numbers = sum(field[0].numel() for field in _fields(first))
    if folder is not None and count * numbers * _FLOAT > MOST_BYTES:
        return _unpacked(everything, count, folder)
    whole = first.map(lambda field: field.new_empty(count, *field.shape[1:]))
    done = 0
    for part in everything:
        for there, here in zip(_fields(whole), _fields(part), strict=True):
            there[done : done + len(part)] = here
        done += len(part)
    return whole


def _unpacked(parts: Iterable[State], count: int, folder: Path) -> State:
    """All `count` states of `parts`, mapped from files in the folder."""
    fields: list[_Field] = []
    with write_errors(folder / "unpacked states"):
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            values = _fields(part)
            fields = fields or [_Field(folder) for _ in values]
            for one, field in zip(fields, values, strict=True):
                one.append(field)
    return State(*(one.mapped(count) for one in fields))


def _fields(state: State) -> list[Tensor]:
    fields = [state.temperature, state.salinity]
    return fields if state.sea_level is None else [*fields, state.sea_level]


@dataclass
class _Field:
    """A float32 field `b ...` in a file of the folder that has no name."""

    folder: Path
    shape: tuple[int, ...] = ()
    file: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self.file = TemporaryFile(dir=self.folder)  # noqa: SIM115 (the map keeps it)

    def append(self, values: Tensor) -> None:
        """Add values `b ...`."""
        self.shape = tuple(values.shape[1:])
        self.file.write(memoryview(values.contiguous().view(-1).view(torch.uint8).numpy()))

    def mapped(self, count: int) -> Tensor:
        """All `count` values, copied when they are written to."""
        self.file.flush()
        shape = (count, *self.shape)
        return torch.from_numpy(np.memmap(self.file, np.float32, mode="c", shape=shape))
