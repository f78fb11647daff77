"""Ends a command early without losing work: on SIGTERM and SIGUSR1, and without its launcher.

Schedulers of clusters send these signals before they end a job. Training saves a checkpoint and
sampling finishes its batches first; any other work ends at once, as on Ctrl-C. A process that waits
for others in compiled code, where Python handles no signals, ends after a while.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from data.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
LAUNCHED = "TORCHELASTIC_RUN_ID"  # variable that `accelerate launch` and `torchrun` set
POLL_SECONDS = 5.0
GRACE_SECONDS = 45.0  # for an orphan to save its work, or for Python to handle a signal


class _Request:
    """Whether this process was asked to stop, and whether work ends at a point of its own."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.deferred = False
        self.handled = threading.Event()

    def receive(self, number: int, _: FrameType | None) -> None:
        self.handled.set()
        if self.received:
            return  # what is being saved must not be interrupted
        self.received = signal.Signals(number)
        if not self.deferred:
            raise Stopped(self.received.name)


_request = _Request()


@contextmanager
def stopping_on_signals(*, last: bool = False) -> Iterator[None]:
    """Context of a command: SIGTERM and SIGUSR1 raise `data.errors.Stopped`.

    In a launched process so does the death of the launcher.

    last: the process ends after this context, for which PyTorch takes a while: signals that come
        then are ignored, so that the exit code says whether the work was done or stopped
    """
    former = {number: signal.signal(number, _request.receive) for number in SIGNALS}
    if LAUNCHED in os.environ:
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    try:
        with _ending_if_stuck():
            yield
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_IGN if last else handler)
        _request.received = None


@contextmanager
def _ending_if_stuck() -> Iterator[None]:
    """Within this context a signal that Python cannot handle in time ends the process."""
    _request.handled.clear()
    numbers, sender = socket.socketpair()
    sender.setblocking(False)
    former = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_if_unhandled, args=[numbers], daemon=True).start()
    try:
        yield
    finally:
        _request.handled.set()
        signal.set_wakeup_fd(former)
        sender.close()


def _end_if_unhandled(numbers: socket.socket) -> None:
    """Wait for signals, until the other end of `numbers` is closed."""
    with numbers:
        while number := numbers.recv(1):
            if number[0] in SIGNALS and not _request.handled.wait(GRACE_SECONDS):
                os._exit(os.EX_TEMPFAIL)


@contextmanager
def stops_deferred() -> Iterator[None]:
    """Within this context signals only make `stop_requested` true; the work ends by itself."""
    _request.deferred = True
    try:
        yield
    finally:
        _request.deferred = False
    if _request.received:
        raise Stopped(_request.received.name)


def stop_requested() -> bool:
    """Whether this process was asked to stop."""
    return _request.received is not None


def _end_with(launcher: int) -> None:
    """Send SIGTERM to this process once its parent is another than `launcher`, and end it soon.

    A thread, and not PR_SET_PDEATHSIG, because it also ends a process that waits in vain for
    others, and works where there is no Linux.
    """
    while os.getppid() == launcher:
        time.sleep(POLL_SECONDS)
    main = threading.main_thread().ident
    assert main is not None, "the main thread has started this one"
    signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(os.EX_TEMPFAIL)
