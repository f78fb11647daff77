"""Archives from anywhere: claims are held against the files before memory is taken for them."""

from __future__ import annotations

import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from data.archive.reader import StateArchive
from data.errors import UserError


def refused(path: Path, words: str = "") -> None:
    tracemalloc.start()
    with pytest.raises(UserError) as error:
        archive = StateArchive.open(path)
        archive.read(range(len(archive)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(error.value)
    assert words in message, message
    assert "\n" not in message and len(message) < 500
    assert most < 100e6, f"{most / 1e6:.0f} MB"


def change(path: Path, variable: str, function) -> None:
    """Change the metadata of a variable, where it is described and where all are gathered."""
    own, gathered = path / variable / "zarr.json", path / "zarr.json"
    content = json.loads(own.read_text())
    function(content)
    own.write_text(json.dumps(content))
    root = json.loads(gathered.read_text())
    root["consolidated_metadata"]["metadata"][variable] = content
    gathered.write_text(json.dumps(root))


def claim(number: int, *, chunks: bool = False):
    """Another first size, of the variable or of its chunks."""

    def function(content):
        place = (
            content["chunk_grid"]["configuration"]["chunk_shape"] if chunks else content["shape"]
        )
        place[0] = number

    return function


@pytest.mark.parametrize("variable", ["thetao", "member", "depth", "wet", "thickness"])
@pytest.mark.parametrize("number", [10**12, 10**18])
def test_claimed_sizes_beyond_the_files_are_refused(write_archive, variable, number):
    path = write_archive("a.zarr")
    change(path, variable, claim(number))
    refused(path, f"{variable} claims")


@pytest.mark.parametrize("number", [0, -1, 10**12])
def test_chunks_of_impossible_sizes_are_refused(write_archive, number):
    path = write_archive("a.zarr")
    for variable in ("thetao", "time"):
        change(path, variable, claim(number, chunks=True))
        refused(path)


@pytest.mark.parametrize("text", ["[1, 2]", "[" * 100_000, "{", "null", '"a"', '{"a": 1e999}', ""])
@pytest.mark.parametrize("where", ["", "thetao"])
def test_metadata_of_another_kind_is_refused(write_archive, text, where):
    path = write_archive("a.zarr")
    root = json.loads((path / "zarr.json").read_text())
    root.pop("consolidated_metadata")
    (path / "zarr.json").write_text(json.dumps(root))
    (path / where / "zarr.json").write_text(text)
    refused(path)


def test_a_pipe_among_the_files_does_not_wait(write_archive):
    path = write_archive("a.zarr")
    chunk = next(file for file in (path / "thetao" / "c").rglob("*") if file.is_file())
    chunk.unlink()
    os.mkfifo(chunk)
    refused(path, "is not a file")
    os.mkfifo(path.with_name("b.zarr"))
    refused(path.with_name("b.zarr"), "neither a folder nor a file")


def test_a_zip_that_hides_its_size_is_refused(write_archive):
    path = write_archive("a.zarr.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("thetao/c/7/0/0/0", b"\0" * 50_000_000)
    refused(path, "unpacks from")


def test_what_may_not_be_read_is_not_called_corrupt(write_archive, monkeypatch):
    path = write_archive("a.zarr")

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zarr.Array.__getitem__", refuse)
    with pytest.raises(UserError, match=r"Permission denied.*: check its permissions") as error:
        StateArchive.open(path)
    assert "corrupt" not in str(error.value)
