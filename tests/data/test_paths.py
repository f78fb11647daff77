"""Paths as users write them, and URLs among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.paths import matching
from data.readers.settings import NemoReader
from data.urls import RemotePath, as_path, is_url, shown_url


def test_a_name_that_looks_like_a_pattern_is_taken_as_it_is(tmp_path):
    folder = tmp_path / "run[1]"
    folder.mkdir()
    for name in ("b.nc", "a.nc"):
        (folder / name).touch()
    assert [path.name for path in matching(folder / "*.nc")] == ["a.nc", "b.nc"]
    assert matching(f"file://{folder}/*.nc") == matching(folder / "*.nc")


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.org/a/thetao.nc", "s3://bucket/x.zarr", "memory://x.nc"),
        *("simplecache::s3://bucket/x.nc", "zip://x.nc::file:///home/x.zip"),
        "https://example.org/thetao.nc?download=1&path=/a/b",
    ],
)
def test_a_url_passes_through_a_path_unharmed(url):
    path = as_path(url)
    assert isinstance(path, RemotePath) and is_url(path)
    assert str(path) == url
    assert not path.exists()


def test_parts_of_a_url_are_urls():
    path = as_path("https://example.org/a/thetao.nc?download=1")
    assert (path.name, path.suffix, path.stem) == ("thetao.nc", ".nc", "thetao")
    assert str(path.parent / "so.nc") == "https://example.org/a/so.nc"
    assert str(path.with_name("so.nc")) == "https://example.org/a/so.nc"
    assert as_path("https://example.org/x.zarr/").name == "x.zarr"


def test_messages_show_neither_login_nor_query():
    path = as_path("https://me:secret@example.org/thetao.nc?key=secret")
    assert f"{path}" == shown_url(str(path)) == "https://example.org/thetao.nc?..."


def test_a_local_path_is_no_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:").mkdir()
    (tmp_path / "run:" / "a.nc").touch()
    assert not isinstance(as_path(Path("run:/a.nc")), RemotePath)
    assert as_path("file:///home/me/a.nc") == Path("/home/me/a.nc")
    assert as_path("runs/a.nc") == Path("runs/a.nc")


def test_settings_of_readers_keep_urls():
    reader = NemoReader(mesh_mask="https://example.org/mesh_mask.nc")
    assert str(reader.mesh_mask) == "https://example.org/mesh_mask.nc"
    again = NemoReader.model_validate(reader.model_dump(mode="json"))
    assert again == reader
    assert str(again.mesh_mask) == "https://example.org/mesh_mask.nc"
