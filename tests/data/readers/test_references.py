"""Kerchunk's references: parts of NetCDF files as a Zarr store, and what they may not do."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import fsspec
import netCDF4
import numpy as np
import pytest

from data import documents
from data.archive.reader import StateArchive
from data.errors import UserError
from data.extras import is_installed
from data.ingest import ingest
from data.readers.cf import open_dataset
from data.urls import as_path
from tests.data.test_ingest import model_file, settings


def references_to(path: Path, name: str | None = None) -> dict[str, Any]:
    """References to a classic NetCDF file, by hand: each variable is one run of big-endian bytes.

    name: how the references name the file
    """
    content = path.read_bytes()
    found: dict[str, Any] = {".zgroup": json.dumps({"zarr_format": 2}), ".zattrs": "{}"}
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        for key, variable in file.variables.items():
            values = np.asarray(variable[...])
            stored = values.astype(values.dtype.newbyteorder(">"))
            start = content.index(stored.tobytes())
            found[f"{key}/.zarray"] = json.dumps(
                {
                    "zarr_format": 2,
                    "shape": values.shape,
                    "chunks": values.shape,
                    "dtype": stored.dtype.str,
                    "compressor": None,
                    "filters": None,
                    "fill_value": None,
                    "order": "C",
                }
            )
            attributes = {k: variable.getncattr(k) for k in variable.ncattrs() if k != "_FillValue"}
            found[f"{key}/.zattrs"] = json.dumps(
                {"_ARRAY_DIMENSIONS": variable.dimensions, **attributes}
            )
            found[f"{key}/" + ".".join("0" * values.ndim)] = [
                name or str(path),
                start,
                stored.nbytes,
            ]
    return found


@pytest.fixture
def classic(tmp_path) -> Path:
    """Model output in NetCDF's classic format."""
    model_file(None).to_netcdf(tmp_path / "a.nc", format="NETCDF3_CLASSIC")
    return tmp_path / "a.nc"


def written(folder: Path, content: object) -> Path:
    path = folder / "refs.json"
    path.write_text(json.dumps(content))
    return path


def digest(path: Path | str, output: Path) -> object:
    ingest(settings(path), output=output)
    return StateArchive.open(output).attributes["content_sha256"]


@pytest.mark.slow
def test_references_hold_what_the_file_does(classic, tmp_path):
    expected = digest(classic, tmp_path / "direct.zarr")
    flat = references_to(classic)
    assert digest(written(tmp_path, flat), tmp_path / "flat.zarr") == expected
    relative = references_to(classic, "a.nc")  # beside the references, not in the present folder
    assert digest(written(tmp_path, relative), tmp_path / "relative.zarr") == expected
    named = {
        "version": 1,
        "templates": {"u": str(classic)},
        "refs": references_to(classic, "{{u}}"),
    }
    assert digest(written(tmp_path, named), tmp_path / "named.zarr") == expected
    inline = dict(flat)
    for key, value in flat.items():
        if isinstance(value, list):
            part = classic.read_bytes()[value[1] : value[1] + value[2]]
            inline[key] = "base64:" + base64.b64encode(part).decode()
    assert digest(written(tmp_path, inline), tmp_path / "inline.zarr") == expected


@pytest.mark.slow
def test_references_at_a_url_to_files_beside_them(classic, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pipe("/run/a.nc", classic.read_bytes())
    for number, name in enumerate(("a.nc", "memory://run/a.nc")):
        url = f"memory://run/{number}.json"
        files.pipe(url, json.dumps(references_to(classic, name)).encode())
        expected = digest(classic, tmp_path / f"direct{number}.zarr")
        assert digest(url, tmp_path / f"{number}.zarr") == expected
    for name in (str(classic), f"file://{classic}"):
        files.pipe("/run/own.json", json.dumps(references_to(classic, name)).encode())
        (tmp_path / "cache").rename(tmp_path / f"cache{len(name)}")
        with pytest.raises(UserError, match="refers to a file of this machine"):
            open_dataset(as_path("memory://run/own.json"))
    files.store.clear()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"version": 2, "refs": {}}, "has version 2"),
        ({"version": 1, "refs": {}, "gen": [{"key": "a"}]}, "by formulas"),
        ({"version": 1, "refs": {}, "templates": {"f": "{{c}}/x"}}, "template 'f', which would"),
        ({"version": 1, "refs": {"a/0": ["{{u}}/x", 0, 1]}}, "would be evaluated"),
        ({"version": 1, "refs": {"a/0": ["{{ u.__class__ }}"]}, "templates": {"u": "x"}}, "would"),
        ({"a/0": ["x", -1, 1]}, "for 'a/0'"),
        ({"a/0": [None, 0, 1]}, "for 'a/0'"),
        ({"a/0": 3}, "for 'a/0'"),
        ({"version": 1}, "no object refs"),
        ([], "expected a JSON object"),
    ],
)
def test_what_would_be_evaluated_or_is_none_is_refused(tmp_path, content, said):
    path = written(tmp_path, content)
    with pytest.raises(UserError, match=said):
        open_dataset(path)


def test_references_that_are_too_large_are_not_read(tmp_path, classic, monkeypatch):
    path = written(tmp_path, references_to(classic))
    monkeypatch.setattr(documents, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="at most 100"):
        open_dataset(path)


def test_a_file_that_is_gone_is_one_sentence(classic, tmp_path):
    path = written(tmp_path, references_to(classic, "gone.nc"))
    with pytest.raises(UserError, match="cannot be read: there is no such file"):
        ingest(settings(path), output=tmp_path / "out.zarr")


def test_a_protocol_without_its_package_is_named(classic, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    path = written(tmp_path, references_to(classic, "s3://bucket/a.nc"))
    with pytest.raises(UserError, match="needs s3fs, which is not installed: pip install s3fs"):
        ingest(settings(path), output=tmp_path / "out.zarr")


def test_a_codec_that_unpickles_is_refused(classic, tmp_path):
    found = references_to(classic)
    array = json.loads(found["so/.zarray"])
    codecs = [{"id": "vlen-utf8"}, {"id": "pickle"}]
    found["so/.zarray"] = json.dumps({**array, "dtype": "|O", "filters": codecs})
    with pytest.raises(UserError, match="codec pickle"):
        open_dataset(written(tmp_path, found))


@pytest.mark.skipif(not is_installed("pyarrow"), reason="needs the extra kerchunk")
def test_references_in_parquet(classic, tmp_path):
    import pandas as pd

    folder, flat = tmp_path / "refs.parq", references_to(classic, "a.nc")
    folder.mkdir()
    metadata = {k: json.loads(v) for k, v in flat.items() if isinstance(v, str)}
    (folder / ".zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": 10}))
    for key, value in flat.items():
        if isinstance(value, list):
            part = folder / key.partition("/")[0]
            part.mkdir()
            row = {"path": [value[0]], "offset": [value[1]], "size": [value[2]], "raw": [None]}
            pd.DataFrame(row).to_parquet(part / "refs.0.parq", engine="pyarrow")
    expected = digest(classic, tmp_path / "direct.zarr")
    assert digest(folder, tmp_path / "parquet.zarr") == expected


def test_parquet_without_its_package_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("data.readers.references.is_installed", lambda _: False)
    (tmp_path / "refs.parq").mkdir()
    with pytest.raises(UserError, match=r"pip install 'halocline\[kerchunk\]'"):
        open_dataset(tmp_path / "refs.parq")
