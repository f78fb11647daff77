"""States that are mapped from the disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.archive.mapped import joined, read_mapped
from data.archive.reader import StateArchive
from data.errors import UserError


@pytest.fixture
def archive(write_archive):
    return StateArchive.open(write_archive())


@pytest.mark.parametrize("most_bytes", [0, 2**31])
def test_they_are_the_states_of_the_archive(archive, tmp_path, monkeypatch, most_bytes):
    monkeypatch.setattr("data.archive.mapped.MOST_BYTES", most_bytes)
    folder = tmp_path / "run"
    found, expected = read_mapped(archive, [3, 0, 7], folder=folder), archive.read([3, 0, 7])
    assert archive.has_sea_level
    for name in ("temperature", "salinity", "sea_level"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert folder.exists() == (most_bytes == 0)


def test_nothing_is_left_and_nothing_written_back(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("data.archive.mapped.MOST_BYTES", 0)
    state = read_mapped(archive, range(10), folder=tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    state.temperature[0] = 5.0  # of this process alone
    assert (state.temperature[0] == 5.0).all()
    np.testing.assert_array_equal(state.temperature[1], archive.read([1]).temperature[0])


def test_a_folder_that_cannot_be_written_is_one_sentence(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("data.archive.mapped.MOST_BYTES", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="unpacked states could not be written"):
        read_mapped(archive, [0], folder=tmp_path / "file")


@pytest.mark.parametrize("in_files", [True, False])
def test_batches_are_joined_one_by_one(archive, tmp_path, monkeypatch, in_files):
    monkeypatch.setattr("data.archive.mapped.MOST_BYTES", 0)
    folder = tmp_path / "run" if in_files else None
    batches = (archive.read(rows) for rows in ([3, 0], [7, 1], [5]))
    found = joined(batches, count=5, folder=folder)
    assert torch.equal(found.to_channels(), archive.read([3, 0, 7, 1, 5]).to_channels())
    assert (tmp_path / "run").exists() == in_files
