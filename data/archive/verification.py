"""Verification of a state archive before its first use in a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from data.archive.identity import DESCRIPTION
from data.archive.reader import StateArchive
from data.atomic import atomic_write
from data.errors import UserError


def verify_once(archive: StateArchive, note: Path) -> None:
    """Verify every state of `archive`, unless `note` says that these very files were verified.

    note: a JSON file beside what is made from the archive; it holds path, sizes and modification
    times of the verified files, and the digests that were found

    Raises UserError if the archive is corrupt, or if what describes its states is not what it was
    at the time of the note although its digest is: archives of version 0.1.0 do not declare it.
    """
    found = {
        "archive": str(archive.path.resolve()),
        "files": _state_of_files(archive.path),
        "digest": archive.digest,
        DESCRIPTION: archive.description,
    }
    noted = _read_note(note)
    if noted == found:
        return
    if noted.get("digest") == archive.digest and noted.get(DESCRIPTION) != archive.description:
        raise UserError(
            f"areas, places, members, times or parameters of {archive.path} differ from those "
            f"noted in {note}: restore the archive, or use another run directory."
        )
    archive.verify()
    with atomic_write(note) as partial:
        partial.write_text(json.dumps(found, indent=2) + "\n")


def _read_note(note: Path) -> dict[str, str]:
    """The note; empty if there is none, or none that can be read: then all is verified again."""
    try:
        content = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state_of_files(path: Path) -> str:
    """Digest of name, size and time of modification of every file of a store."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        name = file.relative_to(path).as_posix()
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
