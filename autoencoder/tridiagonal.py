"""Tridiagonal systems of water columns, compiled for the CPU: implicit diffusion and its adjoint.

A few hundred columns `n` are solved together, level by level: few enough to stay in cache, and
contiguous in memory, so that the loops are vectorised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from guidance.compiled import arrays, in_threads, kernel

Array = NDArray[Any]
COLUMNS_TOGETHER = 512


def solve(before: Tensor, exchange: Tensor, height: Tensor) -> Tensor:
    """Tracers `b t z y x` after one implicit step of diffusion; see `autoencoder.mixing.mix`.

    exchange: `b z-1 y x` [m]; height: `z y x` [m], nowhere 0
    """
    mixed = torch.empty(before.shape, dtype=before.dtype)
    fields = _as_columns(before, *_matching(before, exchange, height), mixed)
    in_threads(
        lambda first, last: _solve_range(first, last, *fields),
        fields[-1].shape[-1],
        cells=mixed.numel(),
    )
    return mixed


def adjoint(
    gradient: Tensor, mixed: Tensor, exchange: Tensor, height: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to the initial tracers and to the exchange.

    gradient: the gradient with respect to `mixed`; both `b t z y x`
    """
    by_tracers = torch.empty(mixed.shape, dtype=mixed.dtype)
    by_exchange = torch.empty(exchange.shape, dtype=mixed.dtype)
    coefficients = _matching(mixed, exchange, height)
    fields = _as_columns(gradient, mixed, *coefficients, by_tracers, by_exchange)
    in_threads(
        lambda first, last: _adjoint_range(first, last, *fields),
        fields[-1].shape[-1],
        cells=mixed.numel(),
    )
    return by_tracers, by_exchange


def _matching(tracers: Tensor, exchange: Tensor, height: Tensor) -> tuple[Tensor, Tensor]:
    """Exchange and height expanded to the tracers' columns; raises an error if they do not fit.

    Kernels do not check array bounds.
    """
    samples, _, levels, *plane = tracers.shape
    return exchange.expand(samples, levels - 1, *plane), height.expand(levels, *plane)


def _as_columns(*fields: Tensor) -> list[Array]:
    return [rearrange(field, "... y x -> ... (y x)") for field in arrays(fields)]


@kernel
def _solve_range(
    first: int, last: int, before: Array, exchange: Array, height: Array, mixed: Array
) -> None:
    """Solve columns `first` to `last` - 1 of all samples."""
    work = _work_space(height)
    for sample in range(before.shape[0]):
        for start in range(first, last, COLUMNS_TOGETHER):
            n, width = _unsigned(start, last)
            _factorise(exchange[sample], height, n, width, work)
            for t in range(before.shape[1]):
                _descend(before[sample, t], height, True, n, width, work)
                _ascend(height, False, n, width, work, mixed[sample, t])


@kernel
def _adjoint_range(
    first: int,
    last: int,
    gradient: Array,
    mixed: Array,
    exchange: Array,
    height: Array,
    by_tracers: Array,
    by_exchange: Array,
) -> None:
    """Set both gradients in columns `first` to `last` - 1 of all samples."""
    work = _work_space(height)
    for sample in range(mixed.shape[0]):
        for start in range(first, last, COLUMNS_TOGETHER):
            n, width = _unsigned(start, last)
            _factorise(exchange[sample], height, n, width, work)
            for t in range(mixed.shape[1]):
                _descend(gradient[sample, t], height, False, n, width, work)
                _ascend(height, True, n, width, work, by_tracers[sample, t])
                add = t > 0
                _products_of_steps(work.x, mixed[sample, t], add, n, width, by_exchange[sample])


class _Work(NamedTuple):
    """Work arrays of the columns that are solved together.

    pivots: pivots of the elimination, `z n`
    ratios: exchange across a level's upper interface over the pivot above, `z+1 n`; 0 at both ends
    x: the solution, `z n`
    carried: values passed from one level to the next, `n`. A separate array, because loops that
        read one level and write another, or use many arrays, are not vectorised.
    """

    pivots: Array
    ratios: Array
    x: Array
    carried: Array


@kernel
def _work_space(height: Array) -> _Work:
    levels, columns = height.shape[0], COLUMNS_TOGETHER
    return _Work(
        np.empty((levels, columns), height.dtype),
        np.zeros((levels + 1, columns), height.dtype),
        np.empty((levels, columns), height.dtype),
        np.empty(columns, height.dtype),
    )


@kernel
def _unsigned(start: int, last: int) -> tuple[Any, Any]:
    """First column and number of columns as unsigned integers.

    Signed indices are checked for negative values at each access, which prevents vectorisation.
    """
    return np.uint64(start), np.uint64(min(COLUMNS_TOGETHER, last - start))


@kernel
def _factorise(exchange: Array, height: Array, n: Any, width: Any, work: _Work) -> None:
    """Compute pivots and ratios of the elimination."""
    pivots, ratios, carried = work.pivots, work.ratios, work.carried
    levels = height.shape[0]
    carried[:] = 0
    for k in range(levels - 1):
        for i in range(width):
            c = exchange[k, n + i]
            without = height[k, n + i] + carried[i]
            pivot = without + c
            ratio = c / pivot
            pivots[k, i], ratios[k + 1, i] = pivot, ratio
            # Equal to c - c * ratio, without its cancellation for strong exchange.
            carried[i] = without * ratio
    for i in range(width):
        pivots[levels - 1, i] = height[levels - 1, n + i] + carried[i]


@kernel
def _descend(right: Array, height: Array, weighted: bool, n: Any, width: Any, work: _Work) -> None:
    """Forward elimination of the right-hand side, multiplied by height first if `weighted`."""
    ratios, x, carried = work.ratios, work.x, work.carried
    carried[:] = 0
    for k in range(x.shape[0]):
        for i in range(width):
            own = right[k, n + i]
            own = own * height[k, n + i] if weighted else own
            carried[i] = own + ratios[k, i] * carried[i]
            x[k, i] = carried[i]


@kernel
def _ascend(height: Array, weighted: bool, n: Any, width: Any, work: _Work, result: Array) -> None:
    """Back substitution; the result is the solution, multiplied by height if `weighted`."""
    pivots, ratios, x, carried = work.pivots, work.ratios, work.x, work.carried
    carried[:] = 0
    levels = x.shape[0]
    for done in range(levels):  # loops over descending ranges are not vectorised
        k = levels - 1 - done
        for i in range(width):
            carried[i] = x[k, i] / pivots[k, i] + ratios[k + 1, i] * carried[i]
        for i in range(width):
            solution = carried[i]
            x[k, i] = solution
            result[k, n + i] = solution * height[k, n + i] if weighted else solution


@kernel
def _products_of_steps(
    adjoint: Array, mixed: Array, add: bool, n: Any, width: Any, total: Array
) -> None:
    """Minus the product of both fields' vertical differences, `z-1 n`; added if `add`, else set."""
    for k in range(total.shape[0]):
        for i in range(width):
            step = mixed[k + 1, n + i] - mixed[k, n + i]
            product = (adjoint[k, i] - adjoint[k + 1, i]) * step
            total[k, n + i] = total[k, n + i] + product if add else product
