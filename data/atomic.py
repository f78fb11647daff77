"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safetensors import SafetensorError

from data.errors import UserError

FULL = 2**16  # bytes left on a disk that is full


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file to; on success it is renamed to `path`.

    Makes the folder of `path` if needed. After any error the temporary file is gone and an earlier
    file `path` is unchanged. Raises UserError if the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
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
    partial = path.with_name(f"{path.name}.partial")
    with write_errors(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(path, ignore_errors=True)
            os.replace(partial, path)
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
