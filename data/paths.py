"""Paths as users write them: `~`, patterns, and names that look like patterns."""

from __future__ import annotations

from glob import escape, glob
from pathlib import Path

from data.errors import UserError


def matching(pattern: str | Path) -> list[Path]:
    """Paths that match the pattern, by name; empty if there are none.

    `~` is the home folder. What exists under the very name is taken as it is, also within a
    pattern: in `run[1]/*.nc` the folder `run[1]`, if it is there.
    """
    path = Path(pattern).expanduser()
    literal = Path(path.anchor)
    parts = path.relative_to(path.anchor).parts
    known = 0
    while known < len(parts) and (literal / parts[known]).exists():
        literal /= parts[known]
        known += 1
    if known == len(parts):
        return [path]
    rest = Path(*parts[known:])
    start = escape(str(literal)) if str(literal) != "." else ""
    return [Path(match) for match in sorted(glob(str(Path(start) / rest), recursive=True))]


def refuse_url(pattern: str | Path) -> None:
    """Raise `UserError` for a URL, which would be taken for the path of no file."""
    if "://" in str(pattern):
        raise UserError(
            f"{pattern} is a URL, and only local files are read: copy the files, or mount the "
            "store, and give their path"
        )
