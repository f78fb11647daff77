"""One job at a time in a run directory, and at an archive that is being written.

The lock is `flock` on a small file, which the system releases when the process ends, however it
ends. The file says who holds the lock; one that is left over of a killed process holds nothing.
On NFS since Linux 2.6.12 and on Lustre with the mount option `flock` it holds between nodes; where
the option is `local_lock` or `localflock`, only within a node.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from data.atomic import remove_leftover, remove_leftovers, write_errors
from data.errors import UserError

LOCK = "job.lock"  # in a run directory; that of an archive is NAME.lock beside it
SIGNED_WITHIN = 2.0  # seconds from taking a lock to saying who did
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


@contextmanager
def exclusive(path: Path, *, archive: bool = False) -> Iterator[None]:
    """Within this context no other job works in the folder `path`.

    archive: `path` is an archive that is being written; its lock is beside it

    Removes temporary files of jobs that were killed. Raises `UserError`, which names the holder, if
    another job works there. Warns if the file system has no locks.
    """
    lock = path.with_name(f"{path.name}.lock") if archive else path / LOCK
    with write_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file, is_locked = _opened(path, lock)
    try:
        _warn_of_other_host(path, _holder(lock))
        _sign(file)
        _tidy(path, archive=archive, every_host=is_locked)
        yield
    finally:
        lock.unlink(missing_ok=True)  # while it is held: nobody else's
        file.close()


def holder(path: Path) -> str | None:
    """Which process holds the lock of the folder `path`; None if none does."""
    try:
        with (path / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _described(_holder(path / LOCK))
    except OSError:  # no lock file, or a file system without locks
        return None
    return None


def _opened(path: Path, lock: Path) -> tuple[TextIOWrapper, bool]:
    """The lock file, and whether it is locked. Raises `UserError` if another process holds it."""
    while True:
        file = lock.open("a+")
        try:
            is_locked = _lock(path, file)
        except BlockingIOError as error:
            file.close()
            raise UserError(
                f"{path} is used by {_described(_signed(lock))}; wait until that job ends, or end "
                "it, and run the same command again."
            ) from error
        if _is_at(file, lock):
            return file, is_locked
        file.close()  # its former holder has removed it meanwhile


def _lock(path: Path, file: TextIOWrapper) -> bool:
    """Lock a file; whether it could be. Raises `BlockingIOError` if another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warnings.warn(
            f"the file system of {path} has no locks ({error.strerror}): nothing keeps a second "
            "job out.",
            stacklevel=5,
        )
        return False
    return True


def _is_at(file: TextIOWrapper, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sign(file: TextIOWrapper) -> None:
    """Write into the lock file who holds it."""
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
    file.truncate(0)
    file.write(json.dumps(holder))
    file.flush()


def _holder(lock: Path) -> dict[str, object]:
    """Who holds, or held, a lock; empty if the file does not say so yet."""
    try:
        holder = json.loads(lock.read_text())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _signed(lock: Path) -> dict[str, object]:
    """Who holds a lock; waits for one who has just taken it to sign it."""
    end = time.monotonic() + SIGNED_WITHIN
    while not (holder := _holder(lock)) and time.monotonic() < end:
        time.sleep(0.02)
    return holder


def _described(holder: dict[str, object]) -> str:
    if not holder:
        return "another process"
    job = f", Slurm job {holder['slurm_job']}" if holder.get("slurm_job") else ""
    return f"process {holder.get('pid')} on {holder.get('host')}{job} (since {holder.get('since')})"


def _warn_of_other_host(path: Path, former: dict[str, object]) -> None:
    """Warn of a file left over by a process of another host, of which nothing is known."""
    if former.get("host", socket.gethostname()) != socket.gethostname():
        warnings.warn(
            f"{path} was left by {_described(former)}, which does not hold its lock any more; if "
            "that job still runs, the file system does not share locks between nodes: end one job.",
            stacklevel=4,
        )


def _tidy(path: Path, *, archive: bool, every_host: bool) -> None:
    """Remove temporary files and folders of dead processes.

    every_host: as in `data.atomic.remove_leftovers`; a lock that is held says that they are dead
    """
    if archive:
        remove_leftovers(path, every_host=every_host)
        return
    for folder, below, files in os.walk(path):
        for name in [*below, *files]:
            remove_leftover(Path(folder, name), every_host=every_host)
        # Archives are thousands of files.
        below[:] = [name for name in below if not name.endswith((".zarr", ".partial"))]
