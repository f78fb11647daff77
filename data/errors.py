"""The exception for mistakes of the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr

from data.extras import EXTRAS, lack_of

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist = 2, 4, 4
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60


class UserError(Exception):
    """A mistake that the user can correct.

    The message has one or two sentences: what was found, what was expected, what to do. The command
    line prints it without a traceback.
    """


class Stopped(BaseException):
    """A signal asked the process to stop; the same command continues.

    Not an `Exception`, as `KeyboardInterrupt`: nothing but the command handles it. The argument is
    the signal's name.
    """


def shown(value: object) -> str:
    """A value as an error message shows it: part of a line, however large or nested it is."""
    try:
        return " ".join(_SHORT.repr(value).split())
    except ValueError:  # Python does not print integers of thousands of digits
        return f"a {type(value).__name__} that is too long to print"


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: what it nearly is, empty if it is nothing."""
    similar = get_close_matches(word, known, n=1, cutoff=0.8)
    return f"; did you mean {similar[0]}?" if similar else ""


@contextmanager
def user_errors_in_one_sentence() -> Iterator[None]:
    """Context of a command: a `UserError` ends it with its message, without a traceback.

    So does a package of an extra that is not installed. The exit code is 1, and 75 (EX_TEMPFAIL of
    sysexits.h) after `Stopped`.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"halocline: {error}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        sys.exit(f"halocline: {lack_of(package)}")
    except Stopped as stop:
        print(f"halocline: stopped by {stop}; run the same command to continue", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        sys.exit("halocline: interrupted; run the same command to continue")


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Context of reading a user's file: every exception is a `UserError` that names the file."""
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would never end
        raise UserError(f"{path} is not a file: expected model output there.")
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"{path} cannot be read as the settings describe it ({type(error).__name__}: "
            f"{reason}): expected model output of the reader's kind; check the file and the "
            "settings of the reader."
        ) from error
