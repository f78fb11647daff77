"""The accelerator of a training stage, and the fast precision of its device."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
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

PATIENCE = timedelta(
    hours=12
)  # one process encodes all latents or adjusts all samples; the others wait
TRACKERS = "HALOCLINE_TRACKERS"  # environment variable
CPU_DESCRIPTION = Path("/proc/cpuinfo")
T = TypeVar("T")
VISIBLE_WITHIN = 10.0  # seconds until a file that one process writes must be visible to all


def launched_processes() -> PartialState:
    """The processes launched together with this one.

    Without a GPU they compute on the CPU. This must be explicit: by default accelerate treats each
    of several CPU processes as the only one.
    """
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=on_cpu, timeout=PATIENCE)


@contextmanager
def one_job(path: Path, *, archive: bool = False) -> Iterator[None]:
    """`data.locks.exclusive` for all processes together: the main process holds the lock.

    Raises `UserError`, in every process, if another job holds it.
    """
    problem = None
    with ExitStack() as stack:
        if launched_processes().is_main_process:
            try:
                stack.enter_context(exclusive(path, archive=archive))
            except UserError as error:
                problem = str(error)
        (problem,) = broadcast_object_list([problem])
        if problem:
            raise UserError(problem)
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
    launched_processes()
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


def build_accelerator(directory: Path, *, precision: str) -> Accelerator:
    """An accelerator that logs to `chosen_trackers`; TensorBoard's files are under `directory`.

    precision: "auto" is bf16 if the device computes it in hardware, else fp32; or "fp32" or "bf16"

    Raises `UserError` for a tracker that is unknown or not installed.
    """
    launched_processes()  # sets the state that the accelerator uses
    # accelerate keeps the first precision of a process, but each stage has its own, and there is no
    # public way to change it.
    AcceleratorState._reset_state()
    mixed = {"auto": "bf16" if has_fast_bf16() else "no", "fp32": "no", "bf16": "bf16"}[precision]
    return Accelerator(
        mixed_precision=mixed,
        log_with=chosen_trackers() or None,
        project_config=ProjectConfiguration(project_dir=str(directory), logging_dir=str(directory)),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


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
