"""Files and folders that appear whole or not at all, also when the power fails.

They are written under a temporary name of the process's own, NAME.HOST-PID.partial, so that two
processes do not write into each other's files.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from safetensors import SafetensorError

from data.errors import UserError

FULL = 2**16  # bytes left on a disk that is full
UMASK = os.umask(0)  # it can only be read by setting it
os.umask(UMASK)
PRIVATE = 0o600
PARTIAL = re.compile(r"(?P<name>.+?)\.(?P<host>[^/]+)-(?P<pid>\d+)\.partial")


def temporary_name(path: Path) -> Path:
    """A name beside `path` that only this process uses."""
    return path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.partial")


def remove_leftovers(path: Path, *, every_host: bool = False) -> None:
    """Remove what dead processes left of an attempt to write `path`, and of names that begin so.

    every_host: also what processes on other hosts left, of which it is not known whether they live
    """
    for found in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        remove_leftover(found, every_host=every_host)


def remove_leftover(path: Path, *, every_host: bool = False) -> None:
    """Remove `path` if it has a temporary name and its process is dead; see `remove_leftovers`."""
    found = PARTIAL.fullmatch(path.name)
    if found is None:
        return
    here = f".{found['host']}".endswith(f".{socket.gethostname()}")
    if is_alive(int(found["pid"])) if here else not every_host:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this host lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:  # not a number of a process
        return False
    except PermissionError:  # of another user
        return True
    return True


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a complete file or folder to `path`, once it is on the disk."""
    below = partial.rglob("*") if partial.is_dir() else ()
    for written in [*below, partial]:
        _permit_as_usual(written)
        _flush(written)
    os.replace(partial, path)
    _flush(path.parent)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file to; on success it is renamed to `path`.

    Makes the folder of `path` if needed. After any error the temporary file is gone and an earlier
    file `path` is unchanged. Raises UserError if the file cannot be written.
    """
    partial = temporary_name(path)
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        try:
            yield partial
            put_in_place(partial, path)
        except (OSError, RuntimeError) as error:
            raise _true_cause(error, path.parent) from error
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """`atomic_write` for files that belong together: none is renamed before all are written."""
    with ExitStack() as files:
        yield [files.enter_context(atomic_write(path)) for path in paths]


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; on success it replaces the folder `path`.

    After any error the temporary folder is gone and `path` is unchanged. Raises UserError if the
    folder cannot be written.
    """
    partial = temporary_name(path)
    with write_errors(path):
        remove_leftovers(path)
        shutil.rmtree(partial, ignore_errors=True)  # of a process that had the same number
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(path, ignore_errors=True)
            put_in_place(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _true_cause(error: Exception, folder: Path) -> Exception:
    """The error of a full disk where NetCDF and others give another reason, or the error itself."""
    if shutil.disk_usage(folder).free < FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Errors of the operating system in writing `path`, as one sentence for the user."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} could not be written ({getattr(error, 'strerror', None) or error}): nothing "
            "was left; free space or choose another place, and run again."
        ) from error


def remove_folder(path: Path) -> None:
    """Remove a folder; an interruption leaves nothing half removed under its name."""
    doomed = temporary_name(path)
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _permit_as_usual(path: Path) -> None:
    """Give a private file, as safetensors are at first, the permissions of any new file."""
    if stat.S_IMODE(path.stat().st_mode) == PRIVATE:
        path.chmod(0o666 & ~UMASK)


def _flush(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems flush files but not folders.
        with suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
