"""Kernels compiled for the CPU, and the threads that share their work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike, DTypeLike, NDArray
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
CELLS_PER_THREAD = 100_000  # with fewer, starting a thread costs more than it saves


def kernel(function: Function) -> Function:
    """Compile for the CPU at the first call; kept on disk for later processes where that works."""
    try:
        return _compiled(function, cache=True)
    except RuntimeError:  # nowhere to keep it: neither beside the source nor in the home directory
        return _compiled(function)


def kernel_of_functions(function: Function) -> Function:
    """Compile for the CPU once per process: for what calls functions that are made then."""
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Compile as a part of the kernels that call it, before their loops are vectorised."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, *, cache: bool = False, forceinline: bool = False) -> Function:
    """Without `fastmath`: each operation is rounded as IEEE 754 says, as in torch.

    Division by 0 is as in NumPy, for a loop that may raise cannot be vectorised.
    """
    return cast(
        Function,
        njit(function, cache=cache, forceinline=forceinline, nogil=True, error_model="numpy"),
    )


def runs_compiled(*fields: Tensor) -> bool:
    """Whether kernels can work on these fields: on the CPU, all float32 or all float64."""
    return all(field.device.type == "cpu" for field in fields) and {
        field.dtype for field in fields
    } in ({torch.float32}, {torch.float64})


def arrays(fields: Iterable[Tensor]) -> list[NDArray[Any]]:
    """The numbers of the fields, contiguous, shared with them where they are."""
    return [field.detach().contiguous().numpy() for field in fields]


def plain_array(values: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """Contiguous and writeable, copied if it is not: every kind of array is compiled for anew."""
    return np.require(values, dtype=dtype, requirements=["C", "W"])


def in_stretches(work: Callable[[int, int], None], count: int, *, cells: int) -> None:
    """Call `work(first, last)` for stretches of `count` rows or columns that make up all.

    There are as many as torch has threads, each in one of its own, or fewer if there are but few
    cells in all. work: a call of a kernel; kernels release Python's lock.
    """
    threads = min(torch.get_num_threads(), count, cells // CELLS_PER_THREAD)
    if threads <= 1:
        work(0, count)
        return
    edges = [count * i // threads for i in range(threads + 1)]
    # Threads that outlive the call would be missing in processes forked later.
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *edge) for edge in pairwise(edges)]:
            done.result()
