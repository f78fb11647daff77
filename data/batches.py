"""Batches of states in an order that depends only on a seed and the sample counter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from data.archive.protocol import Archive
from data.errors import UserError
from data.state import State

MOST_BYTES = 2**30  # of float32 states that are computed with together


def fitting_at_once(numbers: int, wanted: int) -> int:
    """How many states of so many numbers are computed with together: `wanted`, or 1 if large."""
    return wanted if 4 * numbers * wanted <= MOST_BYTES else 1


def read_in_batches(
    archive: Archive, indices: Sequence[int] | NDArray[np.integer], *, at_once: int
) -> Iterator[State]:
    """The states at `indices` in batches of `at_once`; large states alone."""
    levels, rows, columns = archive.grid.shape
    at_once = fitting_at_once((2 * levels + archive.has_sea_level) * rows * columns, at_once)
    for start in range(0, len(indices), at_once):
        yield archive.read(indices[start : start + at_once])


class Samples(Dataset[tuple[Any, int]], ABC):
    """A map-style dataset of known length, for `counted_loader`.

    An item is a tensor, or a named tuple of tensors, and its number.
    """

    @abstractmethod
    def __len__(self) -> int: ...


class StateDataset(Samples):
    """The states of `archive` at `indices`, map-style.

    An item is the state's channels `c y x` in physical units (land 0, float32) and its index in
    the archive.
    """

    def __init__(self, archive: Archive, indices: Sequence[int] | NDArray[np.integer]) -> None:
        self.archive = archive
        self.indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: list[int]) -> list[tuple[Tensor, int]]:
        """A batch; its chunks are read and decompressed concurrently."""
        where = self.indices[items]
        channels = self.archive.read(where).to_channels()
        return list(zip(channels, where.tolist(), strict=True))


class CountedSampler(Sampler[list[int]]):
    """Endless batches of positions; sample number n is the same in every run with this seed.

    Each pass over the `length` items has its own permutation, a function of (seed, pass). Batch k
    of the whole job holds the samples `start + k * batch_size ...`, and each rank takes its
    contiguous share, so the global batch does not depend on `world_size`. `batch_size` is global.
    Raises UserError if it is not a multiple of `world_size` or the dataset is empty.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        batch_size: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if length < 1:
            raise UserError("there are no states to draw batches from: check the archive's split.")
        if batch_size < 1 or batch_size % world_size:
            raise UserError(
                f"batch size {batch_size} cannot be shared by {world_size} processes: choose a "
                f"multiple of {world_size}."
            )
        self.length = length
        self.seed = seed
        self.batch_size = batch_size
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def order(self, counter: int) -> int:
        """The item that is sample number `counter` of the run."""
        epoch, position = divmod(counter, self.length)
        return int(_permutation(self.seed, epoch, self.length)[position])

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch_size // self.world_size
        first = self.start + self.rank * share
        while True:
            yield [self.order(counter) for counter in range(first, first + share)]
            first += self.batch_size


def counted_loader(
    dataset: Samples,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
) -> DataLoader[tuple[Any, int]]:
    """Endless loader of (items stacked along `b`, numbers `b`) from sample number `start` on.

    `batch_size` is that of the whole job; b is the share of this rank.
    """
    sampler = CountedSampler(
        len(dataset),
        seed=seed,
        batch_size=batch_size,
        start=start,
        rank=rank,
        world_size=world_size,
    )
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        # zarr runs an event loop in a thread of its own, which does not survive a fork.
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
    )


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(length)
