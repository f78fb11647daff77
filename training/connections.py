"""The connections between the processes of a job, at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from data.errors import Stopped, UserError


@contextmanager
def connections_closed() -> Iterator[None]:
    """Within this context processes talk to each other; where all end it, connections are closed.

    Gloo's threads live as long as a connection does, and may abort a process whose interpreter has
    gone. NCCL's are left alone: to close them, each process would wait for the others.
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
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    if distributed.get_backend() == "gloo":
        distributed.destroy_process_group()
