"""Limits of a store from anywhere, held against its files before memory is taken."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

from data.errors import UserError, shown

MOST_RATIO = 200  # of the values in memory to the bytes on disk; states shrink about 4-fold
FREE_BYTES = 64 * 2**20  # however small the store is: masks and constant fields shrink to nothing
MOST_PACKED = 20  # of a zip's entry: chunks are compressed before they are packed


def check_files(path: Path) -> None:
    """Raise `UserError` for a store with anything but plain files, or a zip that hides its size.

    Reading a pipe would wait for ever; a zip of one megabyte can unpack to one gigabyte.
    """
    if path.is_dir():
        odd = [p for p in path.rglob("*") if not p.is_file() and not p.is_dir()]
        if odd:
            raise UserError(f"{odd[0]} is not a file: expected plain files in a state archive.")
    elif not path.is_file():
        raise UserError(f"{path} is neither a folder nor a file: give a state archive.")
    elif zipfile.is_zipfile(path):
        _check_entries(path)


def check_sizes(arrays: Mapping[str, zarr.Array[Any]], path: Path) -> None:
    """Raise `UserError` if variables claim more values than the files of `path` can hold.

    Fields are read state by state, everything else at once.
    """
    most = MOST_RATIO * size_on_disk(path) + FREE_BYTES
    for name, array in arrays.items():
        if min(array.chunks, default=1) < 1:
            raise _damaged(path, f"{name} has chunks of {shown(array.chunks)}")
        field = len(array.shape) > 1 and _dimensions(array)[:1] == ("sample",)
        read = math.prod(array.shape[1:] if field else array.shape)
        if max(read, math.prod(array.chunks)) * array.dtype.itemsize > most:
            raise _damaged(path, f"{name} claims a shape of {shown(array.shape)}")
        if field and array.shape[0] > most:
            raise _damaged(path, f"{name} claims {array.shape[0]} states")


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _check_entries(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.file_size > MOST_PACKED * entry.compress_size + 2**20:
                raise _damaged(
                    path,
                    f"{shown(entry.filename)} unpacks from {entry.compress_size} to "
                    f"{entry.file_size} bytes",
                )


def _dimensions(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    return tuple(getattr(array.metadata, "dimension_names", None) or ())


def _damaged(path: Path, found: str) -> UserError:
    return UserError(
        f"{path} is corrupt: {found}, which does not fit its files; copy or create the archive "
        "again."
    )
