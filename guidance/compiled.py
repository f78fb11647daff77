"""Kernels compiled for the CPU, and their distribution over threads."""

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
CELLS_PER_THREAD = 100_000  # with fewer cells, a thread costs more than it saves


def kernel(function: Function) -> Function:
    """Compile for the CPU at the first call; cached on disk where possible."""
    try:
        return _compiled(function, cache=True)
    except RuntimeError:  # neither the source folder nor the home directory is writeable
        return _compiled(function)


def kernel_of_functions(function: Function) -> Function:
    """Compile for the CPU in each process, for kernels that take functions created at run time."""
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Compile inline into the calling kernels, so that their loops are vectorised."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, *, cache: bool = False, forceinline: bool = False) -> Function:
    """Compile without `fastmath`, so that each operation is rounded as in IEEE 754 and torch.

    Division by 0 follows NumPy, because loops that may raise are not vectorised.
    """
    return cast(
        Function,
        njit(function, cache=cache, forceinline=forceinline, nogil=True, error_model="numpy"),
    )


def runs_compiled(*fields: Tensor) -> bool:
    """Whether kernels support these fields: on the CPU, all float32 or all float64."""
    return all(field.device.type == "cpu" for field in fields) and {
        field.dtype for field in fields
    } in ({torch.float32}, {torch.float64})


def arrays(fields: Iterable[Tensor]) -> list[NDArray[Any]]:
    """The fields as contiguous arrays, without a copy where possible."""
    return [field.detach().contiguous().numpy() for field in fields]


def plain_array(values: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """A contiguous, writeable array: kernels are compiled again for each other kind of array."""
    return np.require(values, dtype=dtype, requirements=["C", "W"])


def in_threads(work: Callable[[int, int], None], count: int, *, cells: int) -> None:
    """Call `work(first, last)` on ranges that cover `count` rows or columns, one per thread.

    Uses torch's number of threads, or fewer for few `cells` in total. work: a call of a kernel;
    kernels release Python's lock.
    """
    threads = min(torch.get_num_threads(), count, cells // CELLS_PER_THREAD)
    if threads <= 1:
        work(0, count)
        return
    edges = [count * i // threads for i in range(threads + 1)]
    # A persistent pool would lack its threads in processes forked later.
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *edge) for edge in pairwise(edges)]:
            done.result()
