"""Which states of an archive a model is judged with."""

from __future__ import annotations

import pytest

from data.archive.held_out import HeldOut
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError


@pytest.fixture
def write(tiny_grid, tiny_states, tmp_path):
    def make(*splits: int) -> StateArchive:
        grid, path = tiny_grid(), tmp_path / f"{len(splits)}.zarr"
        states = tiny_states(grid, batch=len(splits), seed=0)
        with ArchiveWriter(path, grid=grid, equation_of_state="veros-vallis") as writer:
            for index, split in enumerate(splits):
                one = states.map(lambda field, i=index: field[i : i + 1])
                writer.append(one, member=0, time=float(index), split=split)
        return StateArchive.open(path)

    return make


def test_the_test_states_by_default_all_of_them_where_all_are_test(write):
    assert HeldOut.of(write(0, 1, 2, 2)).indices.tolist() == [2, 3]
    assert HeldOut.of(write(2, 2, 2)).indices.tolist() == [0, 1, 2]
    assert not HeldOut.of(write(2, 2)).has_training_states


def test_a_part_or_all_on_request(write):
    archive = write(0, 1, 2, -1)
    assert HeldOut.of(archive, "validation").indices.tolist() == [1]
    found = HeldOut.of(archive, "all")
    assert found.indices.tolist() == [0, 1, 2, 3] and found.has_training_states
    assert found.some(2).tolist() == [0, 3]


def test_an_archive_without_test_states_says_which_parts_it_has(write):
    with pytest.raises(UserError, match=r"no test states.*--split train or outside or all"):
        HeldOut.of(write(0, 3, 3))
    with pytest.raises(UserError, match=r"--split all$"):
        HeldOut.of(write(-1, -1))
