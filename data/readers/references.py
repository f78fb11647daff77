"""Kerchunk's references: a Zarr store whose chunks are parts of other files, such as NetCDF.

fsspec reads the parts. What names them is checked here first, because a reference file may come
from anywhere: nothing in it is evaluated (fsspec renders some templates with Jinja), and one from a
URL may not point to files of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.reference import LazyReferenceMapper, ReferenceFileSystem
from zarr.abc.store import Store
from zarr.storage import FsspecStore

from data.documents import MOST_BYTES, read_object
from data.errors import UserError, shown
from data.extras import is_installed, lack_of
from data.remote import file_system, located, network_errors
from data.urls import RemotePath

REFERENCES = {".json", ".parq", ".parquet"}  # suffixes
_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PLAIN = re.compile(r"[^{}]*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_LOCAL = {"file", "local"}
_LONGEST_NAME = 1024


def reference_store(path: Path) -> Store:
    """The read-only store that references at `path` describe, `.json` or a folder `.parq`.

    Raises UserError for a file that is none or too large, for references that would have to be
    evaluated, and for those of a URL to files of this machine.
    """
    base = path.parent
    if path.suffix == ".json":
        found: Any = _resolved(read_object(located(path), advice="expected references"), path, base)
    else:
        found = _parquet(path, base)
    with network_errors(path):
        files = ReferenceFileSystem(
            found, fs={}, asynchronous=True, skip_instance_cache=True, max_gap=-1
        )
    files.fss = _FileSystems(path)
    return FsspecStore(files, read_only=True, path="")


class _FileSystems(dict[str | None, AbstractFileSystem]):
    """A file system for each protocol of the references, made when it is first needed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __missing__(self, protocol: str | None) -> AbstractFileSystem:
        with network_errors(RemotePath.of(f"{protocol or 'file'}://")):
            files = file_system(protocol or "file", asynchronous=True)
        if not files.async_impl:
            files = AsyncFileSystemWrapper(files, asynchronous=True)
        self[protocol] = files
        return files


class _Parquet(LazyReferenceMapper):  # type: ignore[misc]  # fsspec has no type hints
    """References in Parquet, read when needed; what they point to is checked."""

    def __init__(self, root: str, files: AbstractFileSystem, path: Path, base: Path) -> None:
        super().__init__(root, fs=files, engine="pyarrow")
        self._path, self._base = path, base

    def __getitem__(self, key: str) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, list):
            return [_target(found[0], self._path, self._base), *found[1:]]
        return found


def _parquet(path: Path, base: Path) -> LazyReferenceMapper:
    if not is_installed("pyarrow"):
        raise UserError(f"{path} holds references in Parquet, and {lack_of('pyarrow')}")
    with network_errors(path):
        protocol = _SCHEME.match(str(path))
        files = file_system(protocol[1] if protocol else "file")
        root = files._strip_protocol(str(path))
        metadata = f"{root}/.zmetadata"
        if not files.exists(metadata):
            raise UserError(
                f"{path} has no .zmetadata: expected a folder of references that kerchunk wrote."
            )
        if files.size(metadata) > MOST_BYTES:
            raise UserError(f"{path}/.zmetadata has more than {MOST_BYTES} bytes: expected less.")
    return _Parquet(root, files, path, base)


def _resolved(content: dict[str, Any], path: Path, base: Path) -> dict[str, Any]:
    """The references of a JSON file by the key of the store, templates filled in.

    Of version 0, which has them at the top, or 1.
    """
    references: object = content
    templates: object = {}
    if "version" in content:
        if content["version"] != 1:
            raise _refusal(path, f"has version {shown(content['version'])}")
        if content.get("gen"):
            raise _refusal(path, "generates references by formulas (gen), which are not evaluated")
        references, templates = content.get("refs"), content.get("templates") or {}
    if not (isinstance(references, dict) and isinstance(templates, dict)):
        raise _refusal(path, "has no object refs")
    for name, text in templates.items():
        if not (isinstance(text, str) and _PLAIN.fullmatch(text)):
            raise _refusal(path, f"has the template {shown(name)}, which would be evaluated")
    return {key: _reference(key, value, templates, path, base) for key, value in references.items()}


def _reference(
    key: str, value: Any, templates: Mapping[str, str], path: Path, base: Path
) -> str | list[Any] | dict[str, Any]:
    """One reference: the content itself, or a file, or the first byte and the number of bytes."""
    if isinstance(value, str | dict):
        return value
    if not (isinstance(value, list) and len(value) in (1, 3) and isinstance(value[0], str)):
        raise _refusal(path, f"has {shown(value)} for {shown(key)}")
    if not all(type(number) is int and number >= 0 for number in value[1:]):
        raise _refusal(path, f"has {shown(value)} for {shown(key)}")
    unknown = {*_TEMPLATE.findall(value[0])} - {*templates}
    name = _TEMPLATE.sub(lambda found: templates.get(found[1], ""), value[0])
    if unknown or not _PLAIN.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise _refusal(path, f"has the name {shown(value[0])}, which would be evaluated")
    return [_target(name, path, base), *value[1:]]


def _target(name: str, path: Path, base: Path) -> str:
    """The file that a reference names; relative ones are beside the references."""
    protocol = _SCHEME.match(name)
    if protocol is None and not name.startswith("/"):
        return str(base / name)
    if isinstance(path, RemotePath) and (protocol is None or protocol[1].lower() in _LOCAL):
        raise UserError(
            f"{path} refers to a file of this machine, {shown(name)}: expected URLs in references "
            "that come from one; copy the references, if you trust them."
        )
    return name


def _refusal(path: Path, found: str) -> UserError:
    return UserError(
        f"{path} {found}: expected kerchunk's references, version 0 or 1, as "
        "kerchunk.combine and fsspec write them."
    )
