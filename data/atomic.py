"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safetensors import SafetensorError

from data.errors import UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file to; on success it takes the name `path`.

    Makes the folder of `path` if needed. After any error the temporary file is gone and a file of
    the name `path` is as it was. Raises UserError where the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise _not_written(path, error) from error


@contextmanager
def atomic_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """`atomic_write` for files that belong together: none takes its name before all are written."""
    with ExitStack() as files:
        yield [files.enter_context(atomic_write(path)) for path in paths]


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; on success it replaces the folder `path`.

    After any error the temporary folder is gone and `path` is as it was. Raises UserError where
    it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(path, ignore_errors=True)
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} could not be written ({getattr(error, 'strerror', None) or error}): nothing was "
        "left; free space or choose another place, and run again."
    )
