"""Long integrations side by side, each in a fresh process that ends with its parent."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from typing import Protocol, TypeVar

from tqdm import tqdm

POLL_SECONDS = 1.0
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} model years [{elapsed}<{remaining}]"


class Task(Protocol):
    """What a worker is given: picklable, with a name and a length in model years."""

    @property
    def name(self) -> str: ...

    @property
    def years(self) -> float: ...


AnyTask = TypeVar("AnyTask", bound=Task)


class Report:
    """Tells the parent how many model years of a task are done."""

    def __init__(self, progress: MutableMapping[str, float], name: str) -> None:
        self._progress, self._name = progress, name

    def __call__(self, years: float) -> None:
        """Report progress; ends the worker if its parent was killed, lest two do the same work."""
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
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

    Every task gets a spawned process of its own, with one thread: Veros locks its settings once
    per process. The first error of a worker is raised here.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    total = sum(task.years for task in tasks)
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool,
        tqdm(total=total, desc=label, bar_format=BAR) as bar,
    ):
        progress = manager.dict()
        pending: set[Future[None]] = {
            pool.submit(function, task, Report(progress, task.name)) for task in tasks
        }
        while pending:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            bar.update(sum(progress.values()) - bar.n)
