"""Checksums of what stages make: of the files in a folder, and of the tensors in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.documents import read_object
from data.errors import UserError

CHECKSUMS = "checksums.json"
TENSORS = "sha256"  # entry of a file's metadata
PROSE = ".md"  # a model card may be edited


def write_checksums(folder: Path) -> None:
    """Write the sha256 of every file in `folder`, except texts for readers, to checksums.json."""
    sums = {file.relative_to(folder).as_posix(): _of_file(file) for file in _covered(folder)}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=2) + "\n")


def check_folder(folder: Path) -> bool:
    """Compare the files of `folder` with its checksums; whether it has any.

    Folders made by version 0.1.0 have none. Raises UserError at the first file that is absent,
    unreadable or differs.
    """
    if not (folder / CHECKSUMS).is_file():
        return False
    for name in _stored(folder):
        check_file(folder / name, within=folder)
    return True


def check_file(path: Path, *, within: Path | None = None) -> None:
    """Compare one file with the checksums of its folder, if that has any.

    within: the folder with the checksums, if it is not the file's own. Raises UserError if the file
    is absent or differs.
    """
    folder = within or path.parent
    if not (folder / CHECKSUMS).is_file():
        return
    name = path.relative_to(folder).as_posix()
    if not path.is_file() or _stored(folder).get(name) != _of_file(path):
        found = "does not match its checksum" if path.is_file() else "is missing"
        raise UserError(
            f"{folder} is damaged or was changed: {name} {found}; copy or make the folder again, "
            f"or, if the change is yours, remove its {CHECKSUMS}."
        )


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, about: Mapping[str, str]) -> None:
    """Write tensors and texts `about` them as safetensors, with a checksum of both."""
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contents, path, metadata={**about, TENSORS: _of_tensors(contents, about)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `save_tensors` wrote: the tensors, and the texts about them.

    Raises UserError if the file cannot be read or does not match its checksum.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to make it again.") from error
    if TENSORS not in about:
        raise UserError(f"{path} holds no checksum; remove it to make it again.")
    if about.pop(TENSORS) != _of_tensors(tensors, about):
        raise UserError(
            f"{path} is damaged: its tensors do not match their checksum; remove it to make it "
            "again."
        )
    return tensors, about


def _covered(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [file for file in files if file.name != CHECKSUMS and file.suffix != PROSE]


def _stored(folder: Path) -> dict[str, str]:
    return read_object(folder / CHECKSUMS, advice=f"copy or make {folder} again")


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error


def _of_tensors(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """sha256 over names, types, shapes and values, and the texts about them."""
    digest = hashlib.sha256(json.dumps(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
