"""Convective adjustment of water columns, compiled for the CPU.

Rows of cells are screened level by level; only unstable columns are then extracted and adjusted,
one at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from data.grid import OceanGrid
from data.state import State
from guidance.compiled import arrays, in_threads, kernel, kernel_of_functions, plain_array
from guidance.tracing import DensityStep

Array = NDArray[Any]


def joined_layers(
    state: State, *, step: DensityStep, grid: OceanGrid, tolerance: float
) -> Tensor | None:
    """Whether each layer must mix with the next for stable columns, `b z-1 y x` bool.

    step: the compiled density step. Returns None if all columns are stable.
    """
    # Kernels do not check array bounds.
    for field in (state.temperature, state.salinity):
        if field.shape != (len(state), *grid.shape):
            raise ValueError(f"fields {tuple(field.shape)} on a grid of {grid.shape}")
    temperature, salinity = arrays((state.temperature, state.salinity))
    samples, levels, rows, columns = temperature.shape
    joined = np.empty((samples, levels - 1, rows, columns), dtype=bool)
    overturns = np.zeros(samples * rows, dtype=bool)
    water = _Water(
        temperature,
        salinity,
        plain_array(grid.thickness, np.float64),
        plain_array(grid.wet, np.bool_),
        plain_array(grid.interface_depth, np.float64),
    )

    def join(first: int, last: int) -> None:
        _join_rows(first, last, step, water, tolerance, joined, overturns)

    in_threads(join, samples * rows, cells=temperature.size)
    return torch.from_numpy(joined) if overturns.any() else None


def group_means(values: Tensor, thickness: Array, joined: Tensor) -> Tensor:
    """Replace each layer of a group by the group's thickness-weighted mean, `b z y x`.

    thickness: `z y x`; joined: `b z-1 y x`, True where a layer shares a group with the next.
    Single layers are returned bitwise unchanged. Differentiable in the values.
    """
    means: Tensor = _GroupMeans.apply(values, plain_array(thickness, np.float64), joined)
    return means


class _GroupMeans(torch.autograd.Function):
    """Averages over groups; a layer's weight is its thickness over the group's."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, thickness: Array, joined: Tensor) -> Tensor:
        ctx.thickness = thickness
        ctx.save_for_backward(joined)
        return _spread_over_groups(values, thickness, joined, adjoint=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (joined,) = ctx.saved_tensors
        return _spread_over_groups(gradient, ctx.thickness, joined, adjoint=True), None, None


def _spread_over_groups(
    values: Tensor, thickness: Array, joined: Tensor, *, adjoint: bool
) -> Tensor:
    spread = torch.empty(values.shape, dtype=values.dtype)
    fields = arrays((values, joined, spread))

    def average(first: int, last: int) -> None:
        _average_rows(first, last, adjoint, thickness, *fields)

    in_threads(average, values.shape[0] * values.shape[2], cells=values.numel())
    return spread


class _Water(NamedTuple):
    """Water columns on their grid: temperature and salinity `b z y x`, other fields `z y x`."""

    temperature: Array
    salinity: Array
    thickness: Array
    wet: Array
    interface_depth: Array  # `z-1`


class _Column(NamedTuple):
    """One column: arrays `z`, and arrays `z-1` of interfaces."""

    temperature: Array
    salinity: Array
    thickness: Array
    mixed_temperature: Array  # in the float type of the state, so that the result itself is tested
    mixed_salinity: Array
    changed: Array  # layers whose group has grown
    wet_pairs: Array
    interface_depth: Array
    joined: Array
    newly_joined: Array


@kernel_of_functions
def _join_rows(
    first: int,
    last: int,
    step: DensityStep,
    water: _Water,
    tolerance: float,
    joined: Array,
    overturns: Array,
) -> None:
    """Set `joined` and `overturns` in rows `first` to `last` - 1 of all samples."""
    rows, columns = water.wet.shape[1:]
    column = _empty_column(water)
    in_column = np.empty(columns, np.bool_)
    for row in range(first, last):
        sample, y = row // rows, row % rows
        _screen_row(step, water, tolerance, sample, y, joined)
        _any_level(joined[sample], y, in_column)
        for x in range(columns):
            if in_column[x]:
                overturns[row] = True
                _extract(water, joined, sample, y, x, column)
                _join_column(step, column, tolerance)
                _store(column, sample, y, x, joined)


@kernel_of_functions
def _screen_row(
    step: DensityStep, water: _Water, tolerance: float, sample: int, y: int, unstable: Array
) -> None:
    """Set `unstable` for the pairs of a row."""
    levels, _, columns = water.wet.shape
    for k in range(levels - 1):
        upper_t, lower_t = water.temperature[sample, k, y], water.temperature[sample, k + 1, y]
        upper_s, lower_s = water.salinity[sample, k, y], water.salinity[sample, k + 1, y]
        upper_wet, lower_wet = water.wet[k, y], water.wet[k + 1, y]
        depth, found = water.interface_depth[k], unstable[sample, k, y]
        for x in range(columns):
            density = step(
                np.float64(upper_t[x]),
                np.float64(upper_s[x]),
                np.float64(lower_t[x]),
                np.float64(lower_s[x]),
                depth,
            )
            found[x] = (density < -tolerance) & upper_wet[x] & lower_wet[x]


@kernel
def _any_level(pairs: Array, y: int, found: Array) -> None:
    """Set `found` where a column `x` of the row has a True among its pairs `z-1 y x`."""
    found[:] = False
    for k in range(pairs.shape[0]):
        here = pairs[k, y]
        for x in range(found.shape[0]):
            found[x] |= here[x]


@kernel
def _empty_column(water: _Water) -> _Column:
    levels = water.wet.shape[0]
    return _Column(
        np.empty(levels, np.float64),
        np.empty(levels, np.float64),
        np.empty(levels, np.float64),
        np.empty(levels, water.temperature.dtype),
        np.empty(levels, water.salinity.dtype),
        np.empty(levels, np.bool_),
        np.empty(levels - 1, np.bool_),
        water.interface_depth,
        np.empty(levels - 1, np.bool_),
        np.empty(levels - 1, np.bool_),
    )


@kernel
def _extract(water: _Water, unstable: Array, sample: int, y: int, x: int, column: _Column) -> None:
    """Copy a column from the fields; its unstable pairs are newly joined."""
    levels = water.wet.shape[0]
    for k in range(levels):
        column.mixed_temperature[k] = water.temperature[sample, k, y, x]
        column.mixed_salinity[k] = water.salinity[sample, k, y, x]
        column.temperature[k] = column.mixed_temperature[k]
        column.salinity[k] = column.mixed_salinity[k]
        column.thickness[k] = water.thickness[k, y, x]
    for k in range(levels - 1):
        column.wet_pairs[k] = water.wet[k, y, x] & water.wet[k + 1, y, x]
        column.joined[k] = column.newly_joined[k] = unstable[sample, k, y, x]


@kernel
def _store(column: _Column, sample: int, y: int, x: int, joined: Array) -> None:
    """Copy what is joined in a column to the field.

    As an assignment of an array, in the kernel that calls this, it would be compiled in each
    process for seconds.
    """
    for k in range(len(column.joined)):
        joined[sample, k, y, x] = column.joined[k]


@kernel_of_functions
def _join_column(step: DensityStep, column: _Column, tolerance: float) -> None:
    """Mix groups and join unstable neighbours until the column is stable."""
    growing = True
    while growing:
        _mix_new_groups(column)
        growing = _join_unstable(step, column, tolerance)


@kernel
def _mix_new_groups(column: _Column) -> None:
    """Mix the groups that have grown, and mark their layers as changed."""
    levels, first = len(column.changed), 0
    while first < levels:
        last, grown = first, False
        while last < levels - 1 and column.joined[last]:
            grown |= column.newly_joined[last]
            last += 1
        column.changed[first : last + 1] = grown
        if grown:
            _mix(column, first, last + 1)
        first = last + 1


@kernel
def _mix(column: _Column, first: int, last: int) -> None:
    """Mix the layers `first` to `last` - 1."""
    heat = salt = extent = 0.0
    for k in range(first, last):
        heat += column.thickness[k] * column.temperature[k]
        salt += column.thickness[k] * column.salinity[k]
        extent += column.thickness[k]
    extent = extent if extent > 0 else 1.0
    column.mixed_temperature[first:last] = heat / extent
    column.mixed_salinity[first:last] = salt / extent


@kernel_of_functions
def _join_unstable(step: DensityStep, column: _Column, tolerance: float) -> bool:
    """Join neighbouring groups that are unstable, if one has changed; return whether any were.

    Density steps are exactly 0 within a group, and unchanged between unchanged groups.
    """
    t, s, found = column.mixed_temperature, column.mixed_salinity, False
    for k in range(len(column.joined)):
        column.newly_joined[k] = False
        changed = column.changed[k] or column.changed[k + 1]
        if changed and column.wet_pairs[k] and not column.joined[k]:
            density = step(
                np.float64(t[k]),
                np.float64(s[k]),
                np.float64(t[k + 1]),
                np.float64(s[k + 1]),
                column.interface_depth[k],
            )
            if density < -tolerance:
                column.joined[k] = column.newly_joined[k] = found = True
    return found


@kernel
def _average_rows(
    first: int,
    last: int,
    adjoint: bool,
    thickness: Array,
    values: Array,
    joined: Array,
    averaged: Array,
) -> None:
    """Set `averaged` in rows `first` to `last` - 1 of all samples: group means or their adjoint."""
    levels, rows, columns = thickness.shape
    means = np.empty((levels, columns))
    for row in range(first, last):
        sample, y = row // rows, row % rows
        _mean_downwards(values[sample], joined[sample], thickness, adjoint, y, means)
        _spread_upwards(
            values[sample], joined[sample], thickness, adjoint, y, means, averaged[sample]
        )


@kernel
def _mean_downwards(
    values: Array, joined: Array, thickness: Array, adjoint: bool, y: int, means: Array
) -> None:
    """Means `z x` over each layer and the layers of its group above, for a row.

    For the adjoint: the unweighted sum over the total thickness.
    """
    levels, columns = means.shape
    content, extent, lone = np.zeros(columns), np.zeros(columns), np.zeros(columns, np.bool_)
    for k in range(levels):
        above = joined[k - 1, y] if k > 0 else lone
        height, here, mean = thickness[k, y], values[k, y], means[k]
        for x in range(columns):
            own, carried = here[x] if adjoint else here[x] * height[x], content[x]
            content[x] = own + (carried if above[x] else 0.0)
        for x in range(columns):
            carried = extent[x]
            extent[x] = height[x] + (carried if above[x] else 0.0)
        for x in range(columns):
            total = extent[x]
            mean[x] = content[x] / (total if total > 0 else 1.0)


@kernel
def _spread_upwards(
    values: Array,
    joined: Array,
    thickness: Array,
    adjoint: bool,
    y: int,
    means: Array,
    averaged: Array,
) -> None:
    """Copy the mean at a group's lowest layer to all its layers, times thickness for the adjoint.

    Each loop writes one array and none counts down, so that they are vectorised.
    """
    levels, columns = means.shape
    mean, lone = np.zeros(columns), np.zeros(columns, np.bool_)
    for done in range(levels):
        k = levels - 1 - done
        above = joined[k - 1, y] if k > 0 else lone
        below = joined[k, y] if k < levels - 1 else lone
        own, before, after, height = means[k], values[k, y], averaged[k, y], thickness[k, y]
        for x in range(columns):
            carried, new = mean[x], own[x]
            mean[x] = carried if below[x] else new
        for x in range(columns):
            share = mean[x] * height[x] if adjoint else mean[x]
            kept = before[x]
            after[x] = share if above[x] | below[x] else kept
