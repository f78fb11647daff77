"""Quantile maps from the climate of one model to that of another, region by region.

Another model's temperatures may be too warm or vary too much, so that no state of the target model
is near. A quantile map gives each temperature the value of the same rank among the target's
(before the diffusion, as in Aich et al. 2026, GMD 19, 1791). Salinity
follows the target's curve of salinity against the rank of temperature, and keeps its departure
from the curve, so that water of one temperature stays on one T-S relation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from data.grid import OceanGrid
from data.state import State

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

KNOTS = 33  # ranks at which a distribution is stored
FEWEST = 64  # values of a distribution; below, the region's map is that of the whole level
MOST_REGIONS = 8  # along each axis
CELLS_OF_A_REGION = 6  # at least, along each axis
_RANKS = np.linspace(0, 1, KNOTS)


class Distribution(NamedTuple):
    """Of the water of one level in one region: temperature by rank, and salinity at that rank.

    temperature, salinity: `k` [degC, 1e-3 or g/kg], k ranks from 0 to 1; salinity is the mean of
        the water about each rank of temperature
    """

    temperature: FloatArray
    salinity: FloatArray

    @classmethod
    def of(cls, temperature: FloatArray, salinity: FloatArray) -> Distribution:
        """Of values `n`."""
        order = np.argsort(temperature, kind="stable")
        places = np.linspace(0, len(order) - 1, KNOTS)
        warmer = np.interp(places, np.arange(len(order)), temperature[order])
        return cls(warmer, _smoothed(salinity[order]))

    def rank(self, temperature: FloatArray) -> FloatArray:
        """Ranks of temperatures; 0 and 1 beyond the coldest and the warmest.

        Water of equal temperature has the middle of its ranks.
        """
        step = 1e-9 * max(float(np.abs(self.temperature).max()), 1.0) * np.arange(KNOTS)
        lowest = np.interp(temperature, self.temperature + step, _RANKS)
        highest = np.interp(temperature, self.temperature - step[::-1], _RANKS)
        return 0.5 * (lowest + highest)

    def temperature_at(self, rank: FloatArray) -> FloatArray:
        """Temperatures of given ranks."""
        return np.interp(rank, _RANKS, self.temperature)

    def salinity_at(self, rank: FloatArray) -> FloatArray:
        """Mean salinity of the water of given ranks of temperature."""
        return np.interp(rank, _RANKS, self.salinity)


def mapped(state: State, *, climate: State, target: State, grid: OceanGrid) -> State:
    """States of another model in the climate of the target, `b z y x`, all on the target's grid.

    Each value moves by the maps of the regions about it, weighted bilinearly between the regions'
    centres, so that there are no seams. Values beyond the other model's range move as its last.

    climate: states of the other model, which say what its values mean; target: of the target model

    Sea level moves by one number, the difference of the means over all cells. Static stability is
    not kept: adjust the states.
    """
    regions = _Regions.of(grid)
    temperature, salinity = (x.double().numpy().copy() for x in (state.temperature, state.salinity))
    for level in range(grid.shape[0]):
        _map_level(temperature, salinity, level, regions, climate, target, grid)
    sea_level = state.sea_level
    if sea_level is not None and climate.sea_level is not None and target.sea_level is not None:
        surface = torch.from_numpy(grid.wet[0])
        shift = (target.sea_level - climate.sea_level.mean(dim=0)).mean(dim=0)[surface].mean()
        sea_level = sea_level + shift * surface
    warm, salt = (torch.from_numpy(x).to(state.temperature) for x in (temperature, salinity))
    return State(warm, salt, sea_level)


def _map_level(
    temperature: FloatArray,
    salinity: FloatArray,
    level: int,
    regions: _Regions,
    climate: State,
    target: State,
    grid: OceanGrid,
) -> None:
    """Move one level of `temperature` and `salinity`, in place."""
    wet = grid.wet[level]
    if not wet.any():
        return
    own, theirs = temperature[:, level].copy(), salinity[:, level].copy()
    moved = np.zeros((2, *own.shape))
    whole = [_distribution(one, level, wet) for one in (climate, target)]
    for cells, weight in regions:
        inside = wet & cells
        pair = whole
        if min(inside.sum() * len(climate), inside.sum() * len(target)) >= FEWEST:
            pair = [_distribution(one, level, inside) for one in (climate, target)]
        near = wet & (weight > 0)
        if near.any():
            change = _changes(own[:, near], *pair)
            moved[:, :, near] += weight[near] * change
    temperature[:, level], salinity[:, level] = own + moved[0], theirs + moved[1]


def _changes(temperature: FloatArray, source: Distribution, target: Distribution) -> FloatArray:
    """What a map adds to temperature and salinity, `2 b n`, at temperatures `b n`."""
    rank = source.rank(temperature)
    return np.stack(
        [
            target.temperature_at(rank) - source.temperature_at(rank),
            target.salinity_at(rank) - source.salinity_at(rank),
        ]
    )


def _distribution(states: State, level: int, cells: BoolArray) -> Distribution:
    where = torch.from_numpy(cells)
    temperature, salinity = (
        x[:, level][:, where].double().numpy().ravel()
        for x in (states.temperature, states.salinity)
    )
    return Distribution.of(temperature, salinity)


@dataclass(frozen=True)
class _Regions:
    """Rectangles of cells: each one's cells, and its weight in every cell, which sum to 1.

    rows, columns: number of the region of each row and column; their weights `r y` and `c x`
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    row_weight: FloatArray
    column_weight: FloatArray

    @classmethod
    def of(cls, grid: OceanGrid) -> _Regions:
        _, rows, columns = grid.shape
        own_rows, along = _cut(rows, periodic=False)
        own_columns, across = _cut(columns, periodic=grid.periodic_x)
        return cls(own_rows, own_columns, along, across)

    def __iter__(self) -> Iterator[tuple[BoolArray, FloatArray]]:
        """Cells `y x` of each region, and its weight `y x`."""
        for row, down in enumerate(self.row_weight):
            for column, right in enumerate(self.column_weight):
                cells = (self.rows == row)[:, None] & (self.columns == column)
                yield cells, down[:, None] * right


def _cut(size: int, *, periodic: bool) -> tuple[NDArray[np.int64], FloatArray]:
    """Region `n` of each cell along an axis, and weights `r n`, linear between the centres."""
    count = min(max(size // CELLS_OF_A_REGION, 1), MOST_REGIONS)
    place = (np.arange(size) + 0.5) / size * count  # regions are 1 long
    own = place.astype(np.int64)
    centre = np.arange(count) + 0.5
    distance = np.abs(place - centre[:, None])
    if periodic:
        distance = np.minimum(distance, count - distance)
    else:  # before the first and after the last centre there is one region
        distance = np.abs(place.clip(0.5, count - 0.5) - centre[:, None])
    weight = (1 - distance).clip(0, None)
    return own, weight / weight.sum(axis=0)


def _smoothed(values: FloatArray) -> FloatArray:
    """Means of values `n`, in the order of rank, about each of the ranks, `k`."""
    reach = max(len(values) / (KNOTS - 1), 1.0)
    centre = _RANKS * (len(values) - 1)
    low = np.floor((centre - 0.5 * reach).clip(0, None)).astype(np.int64)
    high = np.ceil((centre + 0.5 * reach).clip(None, len(values) - 1)).astype(np.int64) + 1
    total = np.concatenate([[0.0], np.cumsum(values)])
    mean: FloatArray = (total[high] - total[low]) / (high - low)
    return mean
