"""The order of batches is a function of the seed and the sample counter alone."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from data.archive.reader import StateArchive
from data.batches import (
    CountedSampler,
    StateDataset,
    counted_loader,
    fitting_at_once,
    read_in_batches,
)
from data.errors import UserError
from data.state import State


def take(loader, count):
    return list(islice(loader, count))


def test_every_pass_visits_every_item_once_in_a_new_order():
    sampler = CountedSampler(7, seed=3, batch_size=2)
    first, second = ([sampler.order(n) for n in range(a, a + 7)] for a in (0, 7))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert first != [CountedSampler(7, seed=4, batch_size=2).order(n) for n in range(7)]


def test_a_loader_started_at_a_counter_continues_the_uninterrupted_one(write_archive):
    archive = StateArchive.open(write_archive())
    dataset = StateDataset(archive, archive.indices("train"))
    whole = take(counted_loader(dataset, batch_size=3, seed=1), 8)
    resumed = take(counted_loader(dataset, batch_size=3, seed=1, start=3 * 5), 3)
    for (channels, index), (again, index_again) in zip(whole[5:], resumed, strict=True):
        assert torch.equal(channels, again)
        assert torch.equal(index, index_again)
    shifted = torch.cat(
        [i for _, i in take(counted_loader(dataset, batch_size=3, seed=1, start=2), 4)]
    )
    assert torch.equal(shifted, torch.cat([i for _, i in whole])[2:14])


def test_ranks_share_the_same_global_batches():
    whole = islice(CountedSampler(10, seed=0, batch_size=4, start=6), 9)
    ranks = [
        CountedSampler(10, seed=0, batch_size=4, start=6, rank=r, world_size=2) for r in (0, 1)
    ]
    for batch, *parts in zip(whole, *(islice(rank, 9) for rank in ranks), strict=True):
        assert batch == [item for part in parts for item in part]


def test_items_are_physical_channels_and_archive_indices(write_archive):
    archive = StateArchive.open(write_archive())
    dataset = StateDataset(archive, archive.indices("test"))
    channels, index = dataset[1]
    assert index == 9
    assert channels.dtype == torch.float32
    assert torch.equal(channels, archive.read([9]).to_channels()[0])


@pytest.mark.slow
def test_spawned_workers_yield_the_same_batches(write_archive):
    archive = StateArchive.open(write_archive())
    dataset = StateDataset(archive, archive.indices("train"))
    alone = take(counted_loader(dataset, batch_size=2, seed=5), 3)
    helped = take(counted_loader(dataset, batch_size=2, seed=5, workers=1), 3)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(alone, helped, strict=True))


def test_bad_batch_sizes():
    with pytest.raises(UserError, match=r"batch size 5 cannot be shared by 2 processes"):
        CountedSampler(10, seed=0, batch_size=5, world_size=2)
    with pytest.raises(UserError, match=r"no states to draw batches from"):
        CountedSampler(0, seed=0, batch_size=1)


def test_large_states_are_computed_with_alone():
    numbers = 2**24  # 64 MiB
    assert [fitting_at_once(numbers, wanted) for wanted in (1, 16, 17)] == [1, 16, 1]


@pytest.mark.parametrize(("most_bytes", "sizes"), [(2**30, [3, 2]), (1, [1] * 5)])
def test_states_are_read_in_batches_and_large_ones_alone(
    write_archive, monkeypatch, most_bytes, sizes
):
    monkeypatch.setattr("data.batches.MOST_BYTES", most_bytes)
    archive, rows = StateArchive.open(write_archive()), [7, 2, 0, 9, 4]
    batches = list(read_in_batches(archive, rows, at_once=3))
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(State.cat(batches).to_channels(), archive.read(rows).to_channels())


def test_the_size_of_a_state_is_that_of_all_its_channels(write_archive, monkeypatch):
    archive = StateArchive.open(write_archive())
    numbers = archive.read([0]).to_channels().numel()
    for most_bytes, size in ((8 * numbers, 2), (8 * numbers - 1, 1)):
        monkeypatch.setattr("data.batches.MOST_BYTES", most_bytes)
        assert len(next(read_in_batches(archive, range(4), at_once=2))) == size
