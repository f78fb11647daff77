"""URLs as the paths that readers of model output take, before anything is read."""

from __future__ import annotations

import re
from pathlib import Path, PosixPath
from typing import Annotated

from pydantic import AfterValidator

_SCHEME = re.compile(r"(^|::)([A-Za-z][A-Za-z0-9+.\-]*):/(?!/)")  # as a path writes it: one slash
_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@]*@")
_QUERY = re.compile(r"\?.*", re.DOTALL)
_MARK = "://"


class RemotePath(PosixPath):
    """What a URL names. Its text is the URL; nothing of this name is on the disk.

    `data.remote` reads it. Name and suffix are without a query (`?download=1`), and so are
    messages, in which a URL shows neither query nor login: these may hold a key.
    """

    _url: str | None = None

    @classmethod
    def of(cls, url: str) -> RemotePath:
        """The path of a URL, which is kept as it is."""
        path = cls(url)
        path._url = url
        return path

    @property
    def name(self) -> str:
        """The last part, without a query."""
        return _QUERY.sub("", str(self)).rpartition("/")[2]

    def __str__(self) -> str:
        # Parents and neighbours of a path are made of its parts, which have lost a slash.
        return self._url or _SCHEME.sub(r"\1\2://", super().__str__())

    def __format__(self, spec: str) -> str:
        return format(shown_url(str(self)), spec)


def is_url(text: str | Path) -> bool:
    """Whether a path as a user writes it is a URL."""
    return _MARK in str(text)


def as_path(text: str | Path) -> Path:
    """The path of a file as a user writes it: a URL, `file://` with a path, or a path."""
    if isinstance(text, RemotePath):
        return text
    url = str(text)
    if isinstance(text, Path) and not text.exists():  # perhaps made of a URL
        url = _SCHEME.sub(r"\1\2://", url)
    if not is_url(url):
        return Path(text)
    if _LOCAL.match(url):
        return Path("/", _LOCAL.sub("", url, count=1).lstrip("/"))
    return RemotePath.of(url.rstrip("/"))


def shown_url(url: str) -> str:
    """A URL without login and query."""
    return _QUERY.sub("?...", _LOGIN.sub("", url))


# A path in the settings of a reader, which may be a URL.
ReadPath = Annotated[Path, AfterValidator(as_path)]
