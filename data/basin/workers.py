"""Run long integrations in parallel, each in a new process that ends with its parent."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from data.errors import UserError
from data.extras import is_installed, lack_of

POLL_SECONDS = 1.0
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} model years [{elapsed}<{remaining}]"


def require_veros() -> None:
    """Raise UserError if Veros is not installed, before any worker starts."""
    if not is_installed("veros"):
        raise UserError(f"the basin cannot be simulated: {lack_of('veros')}")


class Task(Protocol):
    """The input of a worker: picklable, with a name and a length in model years."""

    @property
    def name(self) -> str:
        """Name of the task in the progress bar and in error messages."""
        ...

    @property
    def years(self) -> float:
        """Length of the run [model years]."""
        ...


AnyTask = TypeVar("AnyTask", bound=Task)


class Report:
    """Reports the finished model years of a task to the parent, and stops the worker on request."""

    def __init__(
        self, progress: MutableMapping[str, float], stop: threading.Event, name: str
    ) -> None:
        self._progress, self._stop, self._name = progress, stop, name

    def __call__(self, years: float) -> None:
        """Report progress; ends the worker if its parent was killed or another worker failed."""
        parent = multiprocessing.parent_process()
        # The next start of the command would repeat the work of an orphan.
        if (parent is not None and not parent.is_alive()) or self._stop.is_set():
            raise SystemExit("the command that started this integration was stopped")
        self._progress[self._name] = years


def run_side_by_side(
    function: Callable[[AnyTask, Report], None],
    tasks: Sequence[AnyTask],
    *,
    workers: int,
    label: str,
) -> None:
    """Call `function(task, report)` for every task, `workers` at a time, under a progress bar.

    Each task runs in its own spawned process with one thread, because Veros locks its settings
    once per process. The first error of a worker is printed at once and raised after the others
    have stopped at their next report.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    total = sum(task.years for task in tasks)
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool,
        tqdm(total=total, desc=label, bar_format=BAR) as bar,
    ):
        progress, stop = manager.dict(), manager.Event()
        futures = {
            pool.submit(_start, function, task, Report(progress, stop, task.name)) for task in tasks
        }
        try:
            _follow(futures, progress, bar)
        except BaseException as error:
            bar.write(f"{label}: {error or type(error).__name__}; the others stop", file=sys.stderr)
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _start(function: Callable[[AnyTask, Report], None], task: AnyTask, report: Report) -> None:
    report(0.0)  # the pool starts one task more than it has workers; this stops it, too
    function(task, report)


def _follow(
    pending: set[Future[None]], progress: MutableMapping[str, float], bar: tqdm[Any]
) -> None:
    """Update the bar until all tasks have finished; raises the first error."""
    while pending:
        done, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        bar.update(sum(progress.values()) - bar.n)
