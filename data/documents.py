"""Small files of settings and records, which may come from anywhere: JSON read within limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.errors import UserError, shown

MOST_BYTES = 64 * 2**20  # of a file of settings, records or statistics


def read_text(path: Path) -> str:
    """The text of a file. Raises `UserError` if it is none, cannot be read or is far too long."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise UserError(f"{path} is not a file: expected a text file there.")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} has {size} bytes: expected settings or a record of at most {MOST_BYTES}."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}): check the file.") from error


def read_object(path: Path, *, advice: str) -> dict[str, Any]:
    """The object in a JSON file, of finite numbers.

    advice: what to do about a damaged file. Raises `UserError` for anything else in the file.
    """
    try:
        content = json.loads(read_text(path), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}): {advice}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {shown(content)}: expected a JSON object; {advice}.")
    return content


def reason(error: BaseException) -> str:
    """What an exception says, in part of a line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    return text[:160] if text else type(error).__name__


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
