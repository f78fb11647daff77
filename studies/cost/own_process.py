"""Calls a function in a new process, which ends with the command that started it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from data.errors import UserError


def in_own_process(function: Callable[..., Any], *arguments: object) -> Any:
    """The result of a call in a spawned process, which has imported and computed nothing before.

    Raises `UserError` as the call does, and if the process ends without a result.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        result, problem = receiver.recv()
        process.join()
    except EOFError:
        process.join()
        raise UserError(
            f"the measured process ended without a result (exit code {process.exitcode}); its own "
            "message is above, and a negative code is the number of a signal, such as -9 if memory "
            "ran out"
        ) from None
    finally:
        process.terminate()  # after an interruption
        process.join()
    if problem is not None:
        raise UserError(problem)
    return result


def _send(sender: Connection, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    try:
        sender.send((function(*arguments), None))
    except UserError as error:
        sender.send((None, str(error)))
    except KeyboardInterrupt:
        sys.exit(130)  # the command says so
