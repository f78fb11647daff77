"""Zarr stores of model output: in a folder, in a zip, at a URL, or as references to other files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import Store

from data.archive.format import open_store
from data.errors import UserError
from data.readers.references import REFERENCES, reference_store
from data.remote import is_store, located, open_remote_store
from data.urls import RemotePath


def is_zarr(path: Path) -> bool:
    """Whether the path is a zarr store: a folder, a zip, references, or a store at a URL."""
    if isinstance(path, RemotePath) and is_store(path):
        return True
    return path.is_dir() or path.suffix == ".zip" or path.suffix in REFERENCES


def store_of(path: Path) -> Store:
    """The read-only store that a path or a URL names.

    Raises UserError for references that cannot be trusted or read, and for a codec that unpickles.
    """
    store = _store_of(path)
    _refuse_pickles(store, path)
    return store


def _store_of(path: Path) -> Store:
    if path.suffix in REFERENCES:
        return reference_store(path)
    place = located(path)
    if isinstance(place, RemotePath):
        return open_remote_store(place)
    return open_store(place)


def _refuse_pickles(store: Store, path: Path) -> None:
    """Refuse a store with a codec that runs what it reads; newer numcodecs refuse it as well."""
    group = zarr.open_group(store, mode="r")
    for name, array in group.members(max_depth=1):
        if isinstance(array, zarr.Array) and any(
            "pickle" in codec for codec in _codecs(array.metadata.to_dict())
        ):
            raise UserError(
                f"{name} of {path} is stored with the codec pickle, which runs what it reads: "
                "expected numbers; write the store again without it."
            )


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs in the metadata of an array, of zarr's formats 2 and 3."""
    if isinstance(metadata, dict):
        for key in ("id", "name"):
            if isinstance(metadata.get(key), str):
                yield metadata[key]
        metadata = list(metadata.values())
    if isinstance(metadata, list | tuple):
        for value in metadata:
            yield from _codecs(value)
