"""States of two archives at the same parameters."""

from __future__ import annotations

import numpy as np
import pytest

from data.archive.pairs import paired_states, shared_climates
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter


@pytest.fixture
def one(basin_archive) -> StateArchive:
    return StateArchive.open(basin_archive)


@pytest.fixture
def other(one, tmp_path) -> StateArchive:
    """Every second state of the members b and one."""
    rows = [row for row in range(1, len(one), 2) if one.member[row] in (1, 4)]
    return copied(one, rows, tmp_path / "other.zarr")


def copied(archive: StateArchive, rows: list[int], path, *, names=None) -> StateArchive:
    with ArchiveWriter(
        path, grid=archive.grid, equation_of_state=archive.equation_of_state
    ) as writer:
        for row in rows:
            values = {name: float(archive.parameters[name][row]) for name in archive.parameters}
            writer.append(
                archive.read([row]),
                member=int(archive.member[row]),
                time=0.0,
                split=int(archive.split[row]),
                parameters={name: values[name] for name in names or values},
            )
    return StateArchive.open(path)


def test_pairs_have_the_same_parameters_and_age_and_are_of_the_first_replicate(one, other):
    pairs = paired_states(other, one, "test")
    assert len(pairs) == 4
    for row, partner in pairs:
        assert one.member[partner] == other.member[row] == 4  # member 7 is a replicate of it
        assert one.parameters["age"][partner] == other.parameters["age"][row]


def test_climates_are_of_the_training_members_that_both_have(one, other):
    ours, theirs = shared_climates(other, one)
    assert other.member[ours].tolist() == [1] * 4
    np.testing.assert_array_equal(one.member[theirs], [1] * 8)


def test_without_shared_parameters_there_is_nothing_to_share(one, tmp_path):
    ages = copied(one, [8, 9], tmp_path / "ages.zarr", names=["age"])
    assert [len(rows) for rows in shared_climates(ages, one)] == [0, 0]
