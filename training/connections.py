"""The connections between the processes of a job, at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from data.errors import Stopped, UserError


@contextmanager
def connections_closed() -> Iterator[None]:
    """Within this context processes talk to each other; where all end it, connections are closed.

    The threads of an open connection live until the interpreter has gone, and then may abort the
    process. All processes end together unless one fails in a way that the others are not told of.
    """
    try:
        yield
    except (UserError, Stopped):
        _close()
        raise
    _close()


def _close() -> None:
    # A command that has imported no torch has no connections, and should not wait for the import.
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
