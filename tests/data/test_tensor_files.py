"""Tensors that are written in pieces and read item by item."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data.errors import UserError
from data.tensor_files import UNFINISHED, open_tensors, write_pieces
from data.tensor_sums import load_tensors, save_tensors

ROOT = Path(__file__).resolve().parents[2]
TENSORS = {
    "train": torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0)),
    "validation": torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1)),
}
ABOUT = {"codec": "of one", "archive": "of another"}


class Stopped(Exception):
    """What stands for a killed process."""


def write(path, *, tensors=TENSORS, at_once=3, about=ABOUT, stop_at=None):
    """Write the tensors, or only so many pieces; returns the pieces that were made."""
    made = []

    def make(piece):
        if len(made) == stop_at:
            raise Stopped
        made.append(piece)
        return tensors[piece.name][piece.items]

    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write_pieces(path, make, shapes=shapes, at_once=at_once, about=about, label="writing")
    return made


def parts(path):
    """Header and values of a file of safetensors."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_the_file_is_that_of_tensors_in_memory(tmp_path, at_once):
    """The order of the texts in the header of the latter is not determined."""
    write(tmp_path / "pieces", at_once=at_once)
    save_tensors(TENSORS, tmp_path / "whole", about=ABOUT)
    assert parts(tmp_path / "pieces") == parts(tmp_path / "whole")
    tensors, about = load_tensors(tmp_path / "pieces")
    assert about == ABOUT
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_items_are_those_that_were_written(tmp_path):
    save_tensors(TENSORS, tmp_path / "file", about=ABOUT)
    stored, about = open_tensors(tmp_path / "file")
    assert about == ABOUT
    for name, tensor in TENSORS.items():
        assert len(stored[name]) == len(tensor)
        assert all(torch.equal(stored[name][n], tensor[n]) for n in range(len(tensor)))
    with pytest.raises(IndexError):
        stored["train"][7]


def test_a_worker_reads_the_same(tmp_path):
    write(tmp_path / "file")
    stored = open_tensors(tmp_path / "file")[0]["train"]
    first = stored[0]
    assert torch.equal(pickle.loads(pickle.dumps(stored))[0], first)  # noqa: S301


@pytest.mark.parametrize("stop_at", [0, 1, 2, 3])
def test_an_interrupted_file_is_gone_on_with(tmp_path, stop_at):
    path = tmp_path / "file"
    with pytest.raises(Stopped):
        write(path, stop_at=stop_at)
    assert not path.exists()
    again = write(path)
    assert len(again) == 4 - max(stop_at - 1, 0)  # the last one may not have been on the disk
    write(tmp_path / "at once")
    assert path.read_bytes() == (tmp_path / "at once").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"file", "at once"}


def test_what_was_not_yet_on_the_disk_is_made_again(tmp_path):
    """The length of a file may be right after a power failure, and its end zeros."""
    path = tmp_path / "file"
    with pytest.raises(Stopped):
        write(path, stop_at=2)
    unfinished = path.with_name(path.name + UNFINISHED)
    content = unfinished.read_bytes()
    unfinished.write_bytes(content[:-40] + bytes(40))
    write(path)
    assert torch.equal(load_tensors(path)[0]["train"], TENSORS["train"])


def test_what_is_about_something_else_is_not_gone_on_with(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(Stopped):
        write(path, stop_at=3, about={"codec": "of another"})
    assert len(write(path)) == 4
    assert load_tensors(path)[1] == ABOUT


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data.tensor_files._append", full)
    with pytest.raises(UserError, match="No space left on device"):
        write(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_bit_is_found(tmp_path, flip_bits):
    path = tmp_path / "file"
    write(path)
    for _ in flip_bits(path, times=60):
        with pytest.raises(UserError, match="file"):
            open_tensors(path)


def test_tensors_of_another_kind_are_refused(tmp_path):
    save_tensors({"train": torch.zeros(3, dtype=torch.float64)}, tmp_path / "file", about={})
    with pytest.raises(UserError, match="is damaged"):
        open_tensors(tmp_path / "file")


MEASURED = """
import sys
from pathlib import Path
import torch
from data.tensor_files import open_tensors, write_pieces
path, items = Path(sys.argv[1]), int(sys.argv[2])
write_pieces(path, lambda piece: torch.ones(1, 250_000), shapes={"train": (items, 250_000)},
             at_once=1, about={}, label="writing")
stored = open_tensors(path)[0]["train"]
total = sum(float(stored[item].sum()) for item in range(items))
assert total == items * 250_000
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process's memory")
def test_memory_does_not_grow_with_the_number_of_items(tmp_path):
    """Written, opened with its checksum, and read: 50 MB, more than a block, and 200 MB."""
    few, many = (peak(tmp_path / str(items), items) for items in (50, 200))
    assert many - few < 30e6


def peak(path, items):
    """Peak of the resident memory of a process of its own [bytes]."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), str(items)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return 1024 * int(done.stdout)
