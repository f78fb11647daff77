"""The exception for mistakes of the user."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can correct.

    The message has one or two sentences: what was found, what was expected, what to do. The command
    line prints it without a traceback.
    """


@contextmanager
def user_errors_in_one_sentence() -> Iterator[None]:
    """Context of a command: a `UserError` ends it with its message, without a traceback."""
    try:
        yield
    except UserError as error:
        sys.exit(f"halocline: {error}")
    except KeyboardInterrupt:
        sys.exit("halocline: interrupted; run the same command to continue")
