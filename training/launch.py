"""The accelerator of a training stage, and the fast precision of its device."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar, cast
from uuid import uuid4

import torch
import torch.distributed
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    LoggerType,
    ProjectConfiguration,
    broadcast_object_list,
    gather_object,
    parse_flag_from_env,
    reduce,
)

from data.atomic import temporary_name
from data.errors import Stopped, UserError, shown
from data.extras import is_installed
from data.locks import exclusive
from training.stopping import stop_requested

# One process integrates an ocean model for days, or joins all latents; the others wait. Those of
# a process that died end before: their connection is closed, or their launcher ends them.
PATIENCE = timedelta(days=30)
TRACKERS = "HALOCLINE_TRACKERS"  # environment variable
CPU_DESCRIPTION = Path("/proc/cpuinfo")
VISIBLE_WITHIN = 10.0  # seconds until a file that one process writes must be visible to all

T = TypeVar("T")


@dataclass(frozen=True)
class Alone:
    """The main process while the others wait for it: for its work it is the only one."""

    device: torch.device
    num_processes: int = 1
    process_index: int = 0
    is_main_process: bool = True

    def wait_for_everyone(self) -> None:
        """Nobody else is at work."""


Processes: TypeAlias = PartialState | Alone
How: TypeAlias = Callable[[Callable[[], object]], object]  # `together` or `on_main`
_alone: list[Alone] = []  # within `on_main`, the main process


def launched_processes() -> Processes:
    """The processes launched together with this one; within `on_main`, this one alone.

    Without a GPU they compute on the CPU. This must be explicit: by default accelerate treats each
    of several CPU processes as the only one.
    """
    if _alone:
        return _alone[-1]
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    processes = PartialState(cpu=on_cpu, timeout=PATIENCE)
    _close_connections_at_exit()
    return processes


@cache
def _close_connections_at_exit() -> None:
    """Register, once, that this process closes its connections before the interpreter goes.

    Gloo's threads live as long as a connection does, and without an interpreter they may abort the
    process. NCCL's are left alone: to close them, each process would wait for the others.
    """
    atexit.register(_close_connections)


def _close_connections() -> None:
    connected = torch.distributed.is_available() and torch.distributed.is_initialized()
    if connected and torch.distributed.get_backend() == "gloo":
        torch.distributed.destroy_process_group()


def on_main(work: Callable[[], T]) -> T | None:
    """Call `work` in the main process while the others wait; its result, None in the others.

    Whatever it calls works as in a single process. If it fails, no process waits in vain: a
    `UserError` and `Stopped` are raised in every process. Any other exception is raised in the main
    process, and a `UserError` that names it in the others.
    """
    processes = launched_processes()
    if processes.num_processes == 1:
        return work()
    result, failure = None, None
    if processes.is_main_process:
        _alone.append(Alone(processes.device))
        try:
            result = work()
        except (Exception, Stopped) as error:
            failure = error
        finally:
            _alone.pop()
    try:
        (told,) = broadcast_object_list([_as_told(failure)])
    finally:
        if failure:
            raise failure  # also where the others have ended, and cannot be told
    if told:
        is_stop, reason = told
        raise Stopped(reason) if is_stop else UserError(reason)
    return result


def together(work: Callable[[], T]) -> T:
    """Call `work` in every process: they share it. For lists of work beside `on_main`."""
    return work()


def main_first(work: Callable[[], T]) -> T:
    """Call `work` in the main process, then in the others, which find what it made; its result.

    Fails as `on_main`.
    """
    result = on_main(work)
    return cast(T, result) if launched_processes().is_main_process else work()


def _as_told(failure: BaseException | None) -> tuple[bool, str] | None:
    """What other processes are told of a failure: whether it is `Stopped`, and the reason."""
    if failure is None:
        return None
    if isinstance(failure, UserError | Stopped):
        return isinstance(failure, Stopped), str(failure)
    return False, f"the first process ended with {type(failure).__name__}; see its message"


@contextmanager
def one_job(path: Path, *, archive: bool = False) -> Iterator[None]:
    """`data.locks.exclusive` for all processes together: the main process holds the lock.

    Raises `UserError`, in every process, if another job holds it.
    """
    with ExitStack() as stack:
        on_main(lambda: stack.enter_context(exclusive(path, archive=archive)))
        yield


def in_any_process(*flags: bool) -> list[bool]:
    """Whether each flag is set in at least one process; all processes get the same answer."""
    processes = launched_processes()
    if processes.num_processes == 1:
        return list(flags)
    counts = torch.tensor(flags, dtype=torch.float32, device=processes.device)
    return [bool(count) for count in reduce(counts, reduction="sum")]


def of_main_process(value: T) -> T:
    """The main process's `value`, in every process.

    What each of several processes computes on its own device may differ in the last digits.
    """
    if launched_processes().num_processes == 1:
        return value
    (found,) = broadcast_object_list([value])
    return found


def end_if_stopped() -> None:
    """Wait for all processes. Raises `Stopped`, in each of them, if any was asked to stop."""
    (stopped,) = in_any_process(stop_requested())
    if stopped:
        raise Stopped("a signal")


def require_shared_folder(folder: Path) -> None:
    """Raise `UserError`, in every process, unless all processes see the same `folder`.

    Makes the folder if needed. Products are written by one process and read by the others.
    """
    processes = launched_processes()
    if processes.num_processes == 1:
        return
    # A temporary name: the next job removes what a killed one left.
    (name,) = broadcast_object_list([temporary_name(Path(f".shared-{uuid4().hex}")).name])
    mark = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if processes.is_main_process:
            mark.touch()
        processes.wait_for_everyone()
        seen = gather_object([_appears(mark)])
    finally:
        if processes.is_main_process:
            mark.unlink(missing_ok=True)
    if not all(seen):
        raise UserError(
            f"{seen.count(False)} of {len(seen)} processes do not see what the first one writes to "
            f"{folder}; put it on a file system that all processes share."
        )


def _appears(path: Path) -> bool:
    """Whether a file is there, or appears within the time that network file systems need."""
    deadline = time.monotonic() + VISIBLE_WITHIN
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def build_accelerator(directory: Path) -> Accelerator:
    """An accelerator that logs to `chosen_trackers`.

    TensorBoard's files are in `directory` if its trackers are given the name of this folder, which
    accelerate adds to the path.

    It knows of no mixed precision: accelerate keeps the first one of a process, but each stage has
    its own, see `mixed_precision`.

    Raises `UserError` for a tracker that is unknown or not installed.
    """
    launched_processes()  # sets the state that the accelerator uses
    return Accelerator(
        mixed_precision="no",
        log_with=chosen_trackers() or None,
        project_config=ProjectConfiguration(
            project_dir=str(directory), logging_dir=str(directory.parent)
        ),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def mixed_precision(precision: str) -> str:
    """What a setting means on this device: "bf16", or "no" for fp32 everywhere.

    precision: "auto" is bf16 if the device computes it in hardware, else fp32; or "fp32" or "bf16"
    """
    return {"auto": "bf16" if has_fast_bf16() else "no", "fp32": "no", "bf16": "bf16"}[precision]


def chosen_trackers() -> list[str]:
    """Names of the trackers that training curves go to, as accelerate knows them.

    Those in the environment variable `HALOCLINE_TRACKERS`, separated by commas; default:
    TensorBoard, if it is installed. Not a setting, because no number depends on it. Raises
    `UserError` for one that accelerate does not know, or that is not installed.
    """
    named = os.environ.get(TRACKERS)
    if named is None:
        return ["tensorboard"] if is_installed("tensorboard") else []
    chosen = [name.strip() for name in named.split(",") if name.strip()]
    known = [name for name in LoggerType.list() if name != "all"]
    for name in chosen:
        if name not in known:
            raise UserError(
                f"{TRACKERS} names {shown(name)}: expected some of {', '.join(known)}, separated "
                "by commas"
            )
        if not is_installed(name):
            raise UserError(f"{TRACKERS} names {name}, which is not installed: install it, too")
    return chosen


def has_fast_bf16() -> bool:
    """Whether this device multiplies bf16 matrices in hardware: a GPU, or a processor with AMX."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _has_amx(CPU_DESCRIPTION)


def _has_amx(description: Path) -> bool:
    """Whether Linux's description of the processors names AMX for bf16; False on other systems."""
    return description.is_file() and "amx_bf16" in description.read_text().split()
