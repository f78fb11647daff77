"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from data.atomic import atomic_files, atomic_folder, atomic_write
from data.errors import UserError


def names(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.b.txt"
    with atomic_write(path) as partial:
        partial.write_text("content")
        assert not path.exists()
    assert path.read_text() == "content"
    assert names(tmp_path) == ["a.b.txt"]


def test_others_may_read_tensors_as_they_may_read_other_files(tmp_path):
    with atomic_folder(tmp_path / "model") as partial:
        save_file({"weights": torch.zeros(2)}, partial / "weights.safetensors")
        (partial / "config.json").write_text("{}")
        (partial / "run.sh").touch(mode=0o700)
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").iterdir()}
    assert modes["weights.safetensors"] == modes["config.json"]
    assert modes["run.sh"] & 0o777 == 0o700


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left on device")],
)
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")
    sentence = r"a.txt could not be written \(No space left on device\): nothing was left"
    with pytest.raises(UserError, match=sentence), atomic_write(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_other_errors_pass_and_leave_nothing(tmp_path, error):
    with pytest.raises(error), atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise error
    assert names(tmp_path) == []


def test_files_that_belong_together_appear_together_or_not_at_all(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    with pytest.raises(KeyboardInterrupt), atomic_files(paths) as partials:
        partials[0].write_text("a")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with atomic_files(paths) as partials:
        for partial in partials:
            partial.write_text("content")
        assert not any(path.exists() for path in paths)
    assert sorted(names(tmp_path)) == ["a.txt", "b.txt"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    target = atomic_write(tmp_path / "file" / "a.txt")
    with pytest.raises(UserError, match=r"file/a.txt could not be written"), target:
        pass


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    path, here = tmp_path / "a[1].txt", socket.gethostname()
    (tmp_path / f"a[1].txt.{here}-{2**22 + 1}.partial").write_text("left")
    kept = {
        f"a[1].txt.{here}-{os.getppid()}.partial",  # written now
        f"a[1].txt.other{here}-{2**22 + 1}.partial",  # on another host
        "a[1].txt.partial",  # of the user
        f"b.txt.{here}-{2**22 + 1}.partial",  # no concern of this write
    }
    for name in kept:
        (tmp_path / name).write_text("")
    with atomic_write(path) as partial:
        partial.write_text("content")
    assert {*names(tmp_path)} == {"a[1].txt", *kept}


def test_two_processes_write_under_names_of_their_own(tmp_path, monkeypatch):
    with atomic_write(tmp_path / "a.txt") as mine:
        mine.write_text("mine")
        monkeypatch.setattr(os, "getpid", os.getppid)
        with atomic_write(tmp_path / "a.txt") as other:
            other.write_text("other")
        assert mine.read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_content_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch, kind):
    path, done = tmp_path / "a", []
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(os.fstat(fd).st_ino), flush(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("renamed"), replace(*paths)))
    with (atomic_write if kind == "file" else atomic_folder)(path) as partial:
        (partial if kind == "file" else partial / "weights").write_text("content")
    contents = {found.stat().st_ino for found in (path, *path.glob("*"))}
    assert {*done[: len(contents)]} == contents
    assert done[len(contents) :] == ["renamed", tmp_path.stat().st_ino]


def test_a_full_disk_is_named_whatever_a_library_says(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with (
        pytest.raises(UserError, match="No space left on device"),
        atomic_write(tmp_path / "a.nc"),
    ):
        raise PermissionError(errno.EACCES, "Permission denied")
