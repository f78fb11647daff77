"""Checksums of the files in a folder that a stage made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from data.documents import read_object
from data.errors import UserError

CHECKSUMS = "checksums.json"
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
