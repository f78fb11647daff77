"""Model output at URLs: what is read, what is copied, and what is said when it cannot be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
import yaml

from configs.draft import init
from configs.foreign import foreign_archive
from data import remote
from data.archive.reader import StateArchive
from data.errors import UserError
from data.extras import is_installed
from data.ingest import ingest
from data.paths import matching
from data.readers.cf import open_dataset
from data.readers.settings import MdsReader
from data.urls import as_path
from tests.data.test_ingest import model_file, settings

CLOSED = "http://127.0.0.1:9"  # nothing listens there
needs_http = pytest.mark.skipif(not is_installed("aiohttp"), reason="needs the extra remote")


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder, refuses what is named `secret`, and breaks off what is named `broken`."""

    requests: list[str]

    def do_GET(self):
        self.requests.append(self.path)
        if "secret" in self.path:
            self.send_error(403)
        elif "broken" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"CDF")
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


class Server:
    """A web server on this machine; `requests` are the paths asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests = folder, []
        handler = type("Handler", (_Handler,), {"requests": self.requests})
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(folder))
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    serving = Server(folder)
    yield serving
    serving.close()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remote._has_metadata.cache_clear()
    return tmp_path / "cache" / "halocline" / "files"


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, empty before and after."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def ingested(files: list[str], output: Path) -> StateArchive:
    ingest(settings(*files), output=output)
    return StateArchive.open(output)


def assert_same_states(one: StateArchive, other: StateArchive) -> None:
    assert one.attributes["content_sha256"] == other.attributes["content_sha256"]
    np.testing.assert_array_equal(one.time, other.time)


@pytest.mark.slow
@needs_http
def test_files_and_stores_of_a_server_hold_what_local_files_do(server, tmp_path, cache_folder):
    dataset = model_file(server.folder / "a.nc")
    dataset.to_zarr(server.folder / "a.zarr")
    local = ingested([str(server.folder / "a.nc")], tmp_path / "local.zarr")
    for number, name in enumerate(("a.nc", "a.zarr", "a.nc?download=1")):
        served = ingested([f"{server.url}/{name}"], tmp_path / f"{number}.zarr")
        assert_same_states(served, local)
    copied = [path.name for path in cache_folder.rglob("*") if path.is_file()]
    assert copied == ["a.nc", "a.nc"]  # the store is not copied


@needs_http
def test_a_file_is_copied_once_and_its_place_is_said(server, tmp_path, cache_folder, capsys):
    model_file(server.folder / "a.nc")
    for output in ("one.zarr", "two.zarr"):
        ingested([f"{server.url}/a.nc"], tmp_path / output)
    assert server.requests == ["/a.nc"]
    (copy,) = cache_folder.rglob("*.nc")
    assert f"halocline: {server.url}/a.nc is copied to {copy}\n" in capsys.readouterr().err


@needs_http
def test_a_pattern_names_the_files_that_the_server_lists(server, tmp_path):
    for seed, name in enumerate(("a.nc", "b.nc")):
        model_file(server.folder / name, seed=seed)
    (server.folder / "notes.txt").touch()
    archive = ingested([f"{server.url}/*.nc"], tmp_path / "out.zarr")
    np.testing.assert_array_equal(archive.member, [0] * 12 + [1] * 12)
    names = StateArchive.open(tmp_path / "out.zarr").attributes["source_files"]
    assert names == ["a.nc", "b.nc"]
    with pytest.raises(UserError, match=r"^no file matches http.*/x\*.nc: check the path"):
        ingest(settings(f"{server.url}/x*.nc"), output=tmp_path / "x.zarr")


@needs_http
def test_init_writes_the_urls(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_file(server.folder / "a.nc")
    path = init(name="served", files=[f"{server.url}/a.nc"], settings=["split={gap_years: 1}"])
    described = yaml.safe_load(path.read_text())
    assert described["data"]["ingest"]["files"] == [f"{server.url}/a.nc"]


@needs_http
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.nc", "the server answered 404 Not Found; check the URL"),
        ("absent.zarr", "the server answered 404 Not Found; check the URL"),
        ("absent", "the server answered 404 Not Found; check the URL"),
        ("secret.nc", "the server answered 403 Forbidden; it asks for a login or a key"),
        ("secret.zarr", "the server answered 403 Forbidden; it asks for a login or a key"),
        ("broken.nc", "the connection broke off; run the same command again"),
    ],
)
def test_what_the_server_refuses_is_one_sentence(server, tmp_path, cache_folder, name, said):
    with pytest.raises(UserError, match=f"^{server.url}/{name} cannot be read: {said}"):
        ingest(settings(f"{server.url}/{name}"), output=tmp_path / "out.zarr")
    assert not [path for path in cache_folder.rglob("*") if path.is_file()]
    assert not (tmp_path / "out.zarr").exists()


@needs_http
@pytest.mark.parametrize("name", ["a.nc", "a.zarr", "*.nc"])
def test_a_server_that_is_not_there_is_one_sentence(tmp_path, name):
    with pytest.raises(UserError, match=r"cannot be read: the server cannot be reached \(.*check"):
        ingest(settings(f"{CLOSED}/{name}"), output=tmp_path / "out.zarr")


@needs_http
def test_a_damaged_file_is_refused_with_the_place_of_its_copy(server, cache_folder):
    (server.folder / "a.nc").write_bytes(b"no NetCDF at all")
    with pytest.raises(UserError, match=f"remove its copy {cache_folder}.*/a.nc to have it"):
        open_dataset(as_path(f"{server.url}/a.nc"))


@needs_http
def test_a_chunk_that_is_refused_later_ends_in_one_sentence(server, tmp_path):
    model_file(None).to_zarr(server.folder / "a.zarr", encoding={"so": {"chunks": (1, 3, 4, 5)}})
    chunk = server.folder / "a.zarr" / "so" / "c" / "7"
    chunk.rename(chunk.with_name("secret"))
    chunk.mkdir()  # a folder in place of the chunks: the server answers with its list of files
    (chunk / "0" / "0" / "0").mkdir(parents=True)
    with pytest.raises(UserError, match=f"^{server.url}/a.zarr cannot be read"):
        ingest(settings(f"{server.url}/a.zarr"), output=tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/x.nc", "s3:// needs s3fs, which is not installed: pip install s3fs"),
        ("gs://bucket/x.zarr", "gs:// needs gcsfs, which is not installed: pip install gcsfs"),
        ("s3://bucket/*.nc", "s3:// needs s3fs, which is not installed: pip install s3fs"),
        ("nowhere://x.nc", "no protocol nowhere is known: expected https, s3, gs, file"),
    ],
)
def test_a_missing_package_is_named(url, said, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(UserError) as caught:
        ingest(settings(url), output=tmp_path / "out.zarr")
    assert said in str(caught.value)


def test_without_aiohttp_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(fsspec, "get_filesystem_class", _refuse)
    said = remote._said(ImportError("aiohttp"), "https://example.org/x.nc")
    assert said == "aiohttp is not installed: pip install 'halocline[remote]'"


def _refuse(protocol: str) -> None:
    raise ImportError(protocol)


@pytest.mark.slow
def test_memory_chained_and_local_urls(memory, tmp_path):
    dataset = model_file(tmp_path / "a.nc")
    memory.pipe("/run/a.nc", (tmp_path / "a.nc").read_bytes())
    dataset.to_zarr(fsspec.get_mapper("memory://run/a.zarr"))
    dataset.to_zarr(fsspec.get_mapper("memory://run/unnamed"))
    local = ingested([f"file://{tmp_path}/a.n?"], tmp_path / "local.zarr")
    urls = ["memory://run/a.nc", "simplecache::memory://run/a.nc", "memory://run/*.nc"]
    urls += ["memory://run/a.zarr", "memory://run/unnamed"]
    for number, url in enumerate(urls):
        assert_same_states(ingested([url], tmp_path / f"{number}.zarr"), local)


def test_a_folder_that_is_no_store_is_refused(memory, tmp_path):
    memory.pipe("/run/part/a.txt", b"")
    with pytest.raises(UserError, match=r"^memory://run/part "):
        ingest(settings("memory://run/part"), output=tmp_path / "out.zarr")


def test_references_by_fsspecs_defaults_are_refused():
    with pytest.raises(UserError, match="expected the file of the references itself"):
        matching("reference://::https://example.org/x.json")


def test_folders_of_binary_files_are_not_read_at_urls():
    with pytest.raises(UserError, match="is a URL: expected a folder of this machine"):
        MdsReader().open(as_path("https://example.org/run"))


def test_no_url_leads_out_of_the_folder_of_copies(cache_folder):
    for url in ("https://example.org/../../../x.nc", "https://../x.nc", "https://example.org/.."):
        copy = remote.copy_of(as_path(url))
        assert ".." not in copy.parts
        assert copy.is_relative_to(cache_folder)


def test_local_files_never_reach_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(fsspec, "url_to_fs", _refuse)
    monkeypatch.setattr(fsspec, "filesystem", _refuse)
    dataset = model_file(tmp_path / "a.nc")
    dataset.to_zarr(tmp_path / "a.zarr")
    for name in ("a.nc", "a.zarr"):
        ingest(settings(tmp_path / name), output=tmp_path / f"of_{name}.zarr")


def test_foreign_states_come_from_urls(memory, tmp_path):
    dataset = model_file(None)
    dataset.to_zarr(fsspec.get_mapper("memory://run/a.zarr"))
    files = ["memory://run/a.zarr"]
    archive = foreign_archive(
        files, settings=["equation_of_state=jmd95"], output=tmp_path / "f.zarr"
    )
    assert len(archive.member) == 12
    again = foreign_archive(files, settings=["equation_of_state=jmd95"], output=tmp_path / "f.zarr")
    assert_same_states(archive, again)


def test_a_store_opens_lazily(memory):
    model_file(None).to_zarr(fsspec.get_mapper("memory://run/a.zarr"))
    opened = open_dataset(as_path("memory://run/a.zarr"))
    assert isinstance(opened, xr.Dataset)
    assert not opened.variables["votemper"]._in_memory
