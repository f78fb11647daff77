"""Paths as users write them: `~`, patterns, URLs, and names that look like patterns."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape, glob
from pathlib import Path

from data.errors import UserError
from data.lazily import lazily
from data.urls import RemotePath, as_path, is_url, shown_url

CHECK_PATTERN = "check the path, and quote the pattern"  # advice where none of --files is there


def matching(pattern: str | Path) -> list[Path]:
    """Paths that match the pattern, by name; empty if there are none.

    `~` is the home folder. What exists under the very name is taken as it is, also within a
    pattern: in `run[1]/*.nc` the folder `run[1]`, if it is there. Of URLs as
    `data.remote.matching`.
    """
    path = as_path(pattern)
    if isinstance(path, RemotePath):
        remote: list[Path] = lazily("data.remote:matching")(path)
        return remote
    path = path.expanduser()
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


def matching_any(patterns: Sequence[str], *, advice: str) -> list[Path]:
    """Paths that match the patterns, in the order given; one that two match is there once.

    Files of URLs are then on this machine, see `data.remote.copy_all`. Raises UserError, with
    `advice`, for a pattern that matches nothing.
    """
    found = [path for pattern in patterns for path in _some(pattern, advice)]
    paths = list(dict.fromkeys(found))
    if any(is_url(path) for path in paths):
        lazily("data.remote:copy_all")(paths)
    return paths


def check_matches(patterns: Sequence[str], *, advice: str) -> None:
    """Raise UserError as `matching_any` does; URLs are not looked for."""
    for pattern in patterns:
        if not is_url(pattern):
            _some(pattern, advice)


def _some(pattern: str, advice: str) -> list[Path]:
    matches = matching(pattern)
    if not matches:
        raise UserError(f"no file matches {shown_url(pattern)}: {advice}.")
    return matches
