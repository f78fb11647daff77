"""Progress bars of what is done for each state of an ensemble, and whoever watches them.

A study that measures what sampling holds in memory must see it after every batch, and must run the
same code as everybody else. So it watches the bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
# Called with the name of the work and the number of states for which it is done.
Watcher = Callable[[str, int], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Within this context `watcher` is called whenever a bar moves."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def progress(
    items: Iterable[Item],
    work: str,
    *,
    total: int,
    unit: str = "state",
    states: Callable[[Item], int] = lambda _: 1,
    shown: bool = True,
) -> Iterator[Item]:
    """The items, with a bar of how many are done.

    work: its name, which the bar shows; total: number of items; states: number of an item's states
    """
    done = 0
    for item in tqdm(items, desc=work, unit=unit, total=total, disable=not shown):
        yield item
        done += states(item)
        watcher = _watcher.get()
        if watcher is not None:
            watcher(work, done)
