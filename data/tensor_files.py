"""Tensors larger than memory in safetensors files: written in pieces, read item by item."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from data.atomic import put_in_place, remove_leftovers, write_errors
from data.errors import UserError
from data.tensor_sums import TENSORS

Shape = tuple[int, ...]
UNFINISHED = ".unfinished"  # ends the name of a file that an interrupted call goes on with
_LENGTH = 8  # bytes at the beginning of a file that hold the length of its header
_FLOAT = 4  # bytes
_BLOCK = 2**24  # bytes that are read at once for a checksum
_NO_CHECKSUM = "0" * 64


@dataclass
class StoredTensor:
    """A float32 tensor in a safetensors file, of whose first axis items are read when asked for.

    Nothing is kept in memory, and the file is not mapped: mapped pages would count as memory of the
    process. Picklable: a spawned worker opens the file again when it first reads.

    start: place of the first value in the file [bytes]
    """

    path: Path
    shape: Shape
    start: int

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, item: int) -> Tensor:
        """Item number `item` from 0, a copy."""
        if not 0 <= item < len(self):
            raise IndexError(f"item {item} of {len(self)}")
        values = torch.empty(self.shape[1:])
        view = memoryview(values.view(-1).view(torch.uint8).numpy())
        place, done = self.start + item * len(view), 0
        self._file.seek(place)
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise UserError(f"{self.path} is shorter than before: remove it to make it again.")
            done += count
        return values

    @cached_property
    def _file(self) -> BinaryIO:
        return self.path.open("rb", buffering=0)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_file"}


def open_tensors(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """What `write_pieces` or `save_tensors` wrote, if it is float32: tensors, and texts about them.

    Raises UserError if the file cannot be read or does not match its checksum.
    """
    try:
        with safe_open(path, framework="pt") as file:  # checks that header and size agree
            about = dict(file.metadata() or {})
        with path.open("rb") as stored:
            length = int.from_bytes(stored.read(_LENGTH), "little")
            header = json.loads(stored.read(length))
            tensors = {
                name: StoredTensor(
                    path, tuple(entry["shape"]), _LENGTH + length + entry["data_offsets"][0]
                )
                for name, entry in header.items()
                if name != "__metadata__"
            }
            if TENSORS not in about:
                raise UserError(f"{path} holds no checksum; remove it to make it again.")
            recorded = about.pop(TENSORS)
            kinds = {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}
            if kinds != {"F32"} or recorded != _checksum_of(stored, tensors, about):
                raise UserError(
                    f"{path} is damaged: its tensors do not match their checksum; remove it to "
                    "make it again."
                )
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to make it again.") from error
    return tensors, about


class Piece(NamedTuple):
    """Items of one of the tensors."""

    name: str
    items: slice


def pieces_of(shapes: Mapping[str, Shape], at_once: int) -> list[Piece]:
    """The pieces of tensors with these shapes, in the order in which `write_pieces` writes them."""
    return [
        Piece(name, slice(start, min(start + at_once, shape[0])))
        for name, shape in sorted(shapes.items())
        for start in range(0, shape[0], at_once)
    ]


def write_pieces(
    path: Path,
    make: Callable[[Piece], Tensor],
    *,
    shapes: Mapping[str, Shape],
    at_once: int,
    about: Mapping[str, str],
    label: str,
) -> None:
    """Write float32 tensors as `save_tensors` does, with at most `at_once` items in memory.

    An interrupted call leaves `path`.unfinished. A later one with the same arguments goes on with
    it; after other arguments it begins again. After an error of the disk nothing is left.

    make: the items of a piece, `n ...`; shapes: of each tensor, by name; about: texts, as for
    `save_tensors`; label: of the progress bar

    Raises UserError if the file cannot be written.
    """
    pieces = pieces_of(shapes, at_once)
    unfinished = path.with_name(path.name + UNFINISHED)
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        try:
            with _opened(unfinished, _header(shapes, about, _NO_CHECKSUM)) as file:
                first = _keep_whole(file, [_size(piece, shapes) for piece in pieces], shapes, about)
                bar = tqdm(pieces, desc=label, unit="batch", initial=first)
                for piece in pieces[first:]:
                    _append(file, make(piece), expected=_shape(piece, shapes))
                    bar.update()
                bar.close()
                _write_checksum(file, shapes, about)
            put_in_place(unfinished, path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise


def _shape(piece: Piece, shapes: Mapping[str, Shape]) -> Shape:
    return (piece.items.stop - piece.items.start, *shapes[piece.name][1:])


def _size(piece: Piece, shapes: Mapping[str, Shape]) -> int:
    return _FLOAT * prod(_shape(piece, shapes))


def _opened(path: Path, header: bytes) -> BinaryIO:
    """The file at `path` if it begins with `header`, or a new one that does; read and written."""
    if path.is_file():
        file = path.open("r+b")
        if file.read(len(header)) == header:
            return file
        file.close()
    file = path.open("w+b")
    file.write(header)
    return file


def _keep_whole(
    file: BinaryIO, sizes: list[int], shapes: Mapping[str, Shape], about: Mapping[str, str]
) -> int:
    """Cut the file after its last piece that is surely on the disk; returns the number of these.

    Each piece was flushed before the next was begun, so that only the last may be incomplete,
    whatever the length of the file says.
    """
    begin = len(_header(shapes, about, _NO_CHECKSUM))
    found = file.seek(0, os.SEEK_END) - begin
    whole, kept = 0, 0
    for size in sizes:
        if kept + size >= found:
            break
        whole, kept = whole + 1, kept + size
    file.truncate(begin + kept)
    file.seek(begin + kept)
    return whole


def _append(file: BinaryIO, values: Tensor, *, expected: Shape) -> None:
    if values.shape != expected or values.dtype != torch.float32:
        raise ValueError(f"a piece is {tuple(values.shape)} {values.dtype}, not {expected} float32")
    file.write(memoryview(values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()))
    _flush(file)


def _write_checksum(file: BinaryIO, shapes: Mapping[str, Shape], about: Mapping[str, str]) -> None:
    """Put the checksum of what is written into the header, where there is room for it."""
    start = len(_header(shapes, about, _NO_CHECKSUM))
    tensors = {}
    for name, shape in sorted(shapes.items()):
        tensors[name] = StoredTensor(Path(file.name), shape, start)
        start += _FLOAT * prod(shape)
    checksum = _checksum_of(file, tensors, about)
    file.seek(0)
    file.write(_header(shapes, about, checksum))
    _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _header(shapes: Mapping[str, Shape], about: Mapping[str, str], checksum: str) -> bytes:
    """The beginning of a safetensors file, in front of the values; its length is the same always.

    See https://huggingface.co/docs/safetensors: a length, then JSON.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted({**about, TENSORS: checksum}.items()))}
    end = 0
    for name, shape in sorted(shapes.items()):
        begin, end = end, end + _FLOAT * prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text


def _checksum_of(
    file: BinaryIO, tensors: Mapping[str, StoredTensor], about: Mapping[str, str]
) -> str:
    """The checksum of `data.tensor_sums`, from the file, block by block."""
    digest = hashlib.sha256(json.dumps(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {torch.float32} {tensor.shape}".encode())
        file.seek(tensor.start)
        left = _FLOAT * prod(tensor.shape)
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise OSError("the file ends before its tensors do")
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
