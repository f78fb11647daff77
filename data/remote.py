"""Files and Zarr stores at URLs, read through fsspec.

Files are copied once, whole, into a folder of this user (`copies`): NetCDF's library reads what is
on the disk, and only parts of it. Zarr stores stay where they are and are read chunk by chunk.
Nothing here is called for a path that is no URL.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.callbacks import TqdmCallback
from fsspec.registry import known_implementations
from zarr.abc.store import Store
from zarr.storage import FsspecStore

from data.atomic import atomic_write
from data.documents import reason
from data.errors import UserError
from data.extras import EXTRAS, lack_of
from data.urls import RemotePath, shown_url

# Of the protocols that copy what they read: files are copied here anyway.
_COPYING = re.compile(r"(?:simplecache|filecache|blockcache|cached)::")
_HTTP = re.compile(r"(?:^|::)https?://")
_REFERENCES = re.compile(r"(?:^|::)reference:")
_FILES = {".nc", ".nc4", ".cdf", ".h5", ".hdf", ".hdf5", ".zip", ".json"}
_STORES = {".zarr", ".parq", ".parquet"}
_METADATA = ("zarr.json", ".zmetadata", ".zgroup")  # of a Zarr store, one of them at its root
_OWN = {"http": "aiohttp", "https": "aiohttp"}  # packages of extras of ours
_AT_ONCE = 4  # files that are copied together; servers may refuse more
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def copies() -> Path:
    """The folder of this user that holds the copies: `halocline/files` of the cache folder."""
    cache_folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache_folder).expanduser() / "halocline" / "files"


def matching(pattern: RemotePath) -> list[RemotePath]:
    """What a URL names, or all that a pattern matches, by name.

    Raises UserError if the server lists no files, cannot be reached, or refuses.
    """
    url = str(pattern)
    _refuse_references(pattern)
    if not _is_pattern(url):
        return [pattern]
    first, mark, rest = _without_copying(url).partition("::")
    with network_errors(pattern):
        files, names = fsspec.url_to_fs(first + mark + rest)
        protocol = first.partition("://")[0]
        found = [str(name) for name in files.glob(names)]
    whole = [name if "://" in name else f"{protocol}://{name.lstrip('/')}" for name in found]
    return [RemotePath.of(name + mark + rest) for name in sorted(whole)]


def copy_all(paths: Sequence[Path]) -> None:
    """Copy the files among `paths` that are at URLs and not here yet, a few at once.

    Raises UserError for one that cannot be copied; what is copied by then is kept.
    """
    remote = [path for path in paths if isinstance(path, RemotePath)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            list(pool.map(located, remote))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def located(path: Path) -> Path:
    """Where a path is read: a copy of the file at a URL; a Zarr store, and any other path, itself.

    Raises UserError if the file cannot be copied; nothing of it is then left.
    """
    if not isinstance(path, RemotePath) or is_store(path):
        return path
    copy = copy_of(path)
    if not copy.exists():
        print(f"halocline: {path} is copied to {copy}", file=sys.stderr)
        _copy(path, copy)
    return copy


def copy_of(path: RemotePath) -> Path:
    """Where the copy of a URL is, or will be: by server and by the whole URL."""
    url = _without_copying(str(path))
    server = re.sub(r"[^\w.\-]+", "_", PurePosixPath(shown_url(url).partition("://")[2]).parts[0])
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.\-+=@]+", "_", path.name)
    return copies() / (server.strip(".") or "server") / digest / (name.strip(".") or "file")


def is_store(path: RemotePath) -> bool:
    """Whether a URL names a Zarr store, or references in Parquet, by its name or by what is there.

    Raises UserError if its protocol has no package.
    """
    if path.suffix in _FILES | _STORES:
        return path.suffix in _STORES
    return _has_metadata(str(path))


def open_remote_store(path: RemotePath) -> Store:
    """The read-only Zarr store at a URL. Raises UserError if the protocol has no package."""
    with network_errors(path):
        return FsspecStore.from_url(str(path), read_only=True)


@contextmanager
def network_errors(path: Path) -> Iterator[None]:
    """Context of reading `path`: errors of the network are one sentence for the user.

    They are those of a URL, and of references to other files. Others pass through.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        chain = [*_chain(error)]
        for refusal in chain:
            if isinstance(refusal, UserError):
                raise refusal from error
        referred = any(type(one).__name__ == "ReferenceNotReachable" for one in chain)
        if getattr(error, "errno", None) in _DISK or not (referred or isinstance(path, RemotePath)):
            raise
        said = _said(error, str(path))
        if said is None:
            raise
        raise UserError(f"{path} cannot be read: {said}.") from error


def file_system(protocol: str, **options: Any) -> fsspec.AbstractFileSystem:
    """The file system of a protocol. Raises ImportError or ValueError if there is none."""
    return fsspec.filesystem(protocol, **options)


def _copy(path: RemotePath, copy: Path) -> None:
    """Copy the file at a URL, whole or not at all.

    fsspec's own caches (`simplecache`, `filecache`) leave part of a file under its name when they
    are interrupted, and would read it the next time.
    """
    bar = TqdmCallback(tqdm_kwargs={"desc": path.name, "unit": "B", "unit_scale": True})
    with atomic_write(copy) as partial, network_errors(path):
        files, name = fsspec.url_to_fs(_without_copying(str(path)))
        try:
            files.get_file(name, str(partial), callback=bar)
        finally:
            bar.close()
        if not partial.is_file():  # a folder is copied as an empty one, or as nothing
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"{path} is a folder: expected a NetCDF file, or a Zarr store, whose metadata "
                f"({', '.join(_METADATA)}) were not found in it; give the URL of a file."
            )


def _without_copying(url: str) -> str:
    return _COPYING.sub("", url, count=1) if _COPYING.match(url) else url


def _is_pattern(url: str) -> bool:
    """Whether a URL is a pattern; on web servers `?` begins a query, which is none."""
    path = url.partition("?")[0] if _HTTP.search(url) else url
    return any(mark in path for mark in ("*", "[", "?"))


def _refuse_references(path: RemotePath) -> None:
    if _REFERENCES.search(str(path)):
        raise UserError(
            f"{path} opens references with fsspec's defaults: expected the file of the references "
            "itself (.json or .parq), whose size and contents are checked; give its path or URL."
        )


@cache
def _has_metadata(url: str) -> bool:
    path = RemotePath.of(url)
    with network_errors(path):
        files, root = fsspec.url_to_fs(_without_copying(url))
        return any(files.exists(f"{root.rstrip('/')}/{name}") for name in _METADATA)


def _said(error: Exception, url: str) -> str | None:
    """What is wrong and what to do; None for an error that is not of the network."""
    if isinstance(error, ImportError) or "Protocol not known" in str(error):
        return _lack_of_package(error, url)
    chain = [*_chain(error)]
    for one in chain:
        if isinstance(status := getattr(one, "status", None), int):
            return f"the server answered {status} {getattr(one, 'message', '')}".strip() + _advice(
                status
            )
    if any(isinstance(one, TimeoutError) for one in chain):
        return "the server did not answer in time; try again, or copy the file yourself"
    if any(isinstance(one, PermissionError) for one in chain):
        return f"access was refused ({reason(error)}){_advice(403)}"
    if any(type(one).__name__ == "ClientPayloadError" for one in chain):  # of aiohttp
        return "the connection broke off; run the same command again"
    if any(type(one).__name__.startswith("Client") for one in chain):
        return (
            f"the server cannot be reached ({reason(chain[-1])}); check the URL and the network, "
            "and run the same command again"
        )
    if any(isinstance(one, FileNotFoundError | IsADirectoryError) for one in chain):
        what = "the server answered 404 Not Found" if _HTTP.search(url) else "there is no such file"
        return what + _advice(404)
    if isinstance(error, OSError) or "ReferenceNotReachable" in type(error).__name__:
        return f"{reason(chain[-1])}; check the URL and the network, and run the same command again"
    return None


def _advice(status: int) -> str:
    if status in (401, 403):
        return (
            "; it asks for a login or a key, which fsspec takes from its configuration, or else "
            "copy the file yourself"
        )
    if status in (404, 410):
        return "; check the URL"
    return "; try again later, or copy the file yourself"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, at most ten of them."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _lack_of_package(error: Exception, url: str) -> str:
    """Which package reads the protocol of a URL, and how to install it."""
    for protocol in re.findall(r"(?:^|::)([A-Za-z][A-Za-z0-9+.\-]*)(?=://|::)", url):
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError:
            package = known_implementations[protocol]["class"].partition(".")[0]
            package = _OWN.get(protocol, package)
            if package in EXTRAS:
                return lack_of(package)
            if package != "fsspec":
                return (
                    f"{protocol}:// needs {package}, which is not installed: pip install {package}"
                )
            return reason(error)
        except ValueError:
            return (
                f"no protocol {protocol} is known: expected https, s3, gs, file or another one of "
                "fsspec"
            )
    return reason(error)
