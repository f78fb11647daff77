"""What an ocean state has at the places of observations.

The operator is linear: every observation is a weighted mean of the wet cells about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid
from data.locate import Locator
from data.observations import Observations
from data.state import State

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Cells(NamedTuple):
    """Columns that observations see: number of the observation, row, column and weight, each `e`.

    box: `e`, whether the observation is a mean over a box, whose cells count by their volume
    """

    observation: IntArray
    row: IntArray
    column: IntArray
    weight: FloatArray
    box: NDArray[np.bool_]


class ObservationOperator:
    """Maps states to `n` observed values.

    Points are interpolated bilinearly between columns and linearly between the centres of levels;
    above the first and below the last centre of a column its value is constant. Cells on land do
    not count. Means over a layer count levels by the part of their thickness within it, means over
    a box all wet cells whose centre lies within it, by volume.
    """

    def __init__(self, observations: Observations, grid: OceanGrid, *, sea_level: bool) -> None:
        """sea_level: whether states have one.

        Raises `UserError` for observations that no wet cell represents; see `misplaced`.
        """
        places = _Places.of(observations, grid, sea_level=sea_level)
        _refuse(places.misplaced, observations)
        self._set(*places.weights(), count=len(observations))

    @classmethod
    def of_weights(
        cls, cell: Tensor, observation: Tensor, weight: Tensor, *, count: int
    ) -> ObservationOperator:
        """Any weighted sums of cells.

        cell: `k`, index in a state's channels `c y x`; observation: `k`, number of the value that
        the cell contributes to; weight: `k`; count: number of values n
        """
        operator = cls.__new__(cls)
        operator._set(cell, observation, weight, count=count)
        return operator

    def _set(self, cell: Tensor, observation: Tensor, weight: Tensor, *, count: int) -> None:
        self._cell, self._observation, self._weight = cell, observation, weight.double()
        self.count = count

    def __call__(self, state: State) -> Tensor:
        """Observed values `b n` of states; differentiable, in double precision."""
        values = state.to_channels().flatten(1)[:, self._cell.to(state.temperature.device)]
        weighted = values.double() * self._weight.to(values.device)
        seen = torch.zeros(len(values), self.count, dtype=torch.float64, device=values.device)
        return seen.index_add(1, self._observation.to(values.device), weighted)


def misplaced(
    observations: Observations, grid: OceanGrid, *, sea_level: bool
) -> dict[str, NDArray[np.bool_]]:
    """Which observations `n` the grid cannot represent, by reason, as "lie on land"."""
    return _Places.of(observations, grid, sea_level=sea_level).misplaced


def placed(observations: Observations, grid: OceanGrid, *, sea_level: bool) -> Observations:
    """The observations that the grid can represent. Raises `UserError` if there are none."""
    reasons = misplaced(observations, grid, sea_level=sea_level)
    wrong = np.any(list(reasons.values()), axis=0)
    if wrong.all():
        _refuse(reasons, observations)
    return observations.at(~wrong)


@dataclass(frozen=True)
class _Places:
    """Cells and levels that observations see.

    share: `e z`, weight of the levels of each of the `cells`
    """

    observations: Observations
    grid: OceanGrid
    sea_level: bool
    cells: Cells
    share: FloatArray

    @classmethod
    def of(cls, observations: Observations, grid: OceanGrid, *, sea_level: bool) -> _Places:
        cells = _cells(observations, grid)
        return cls(observations, grid, sea_level, cells, _levels(observations, grid, cells))

    @property
    def misplaced(self) -> dict[str, NDArray[np.bool_]]:
        """Which observations cannot be represented, by reason."""
        level = self.observations.quantity == "sea_level"
        dry = self._total(self.cells.weight * self._surface) <= 0.5 * self._total(self.cells.weight)
        outside = self._total(self.cells.weight) <= 0.5
        deep = ~(dry | outside) & (self._total(self._weight.sum(axis=1)) <= 0)
        return {
            "lie outside the grid": outside,
            "lie on land": dry & ~outside,
            "lie below the sea floor": deep & ~level,
            "are of sea level, which the states do not have": level & (not self.sea_level),
        }

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Index of the cell among the channels, number of the observation, and weight, each `k`."""
        levels, rows, columns = self.grid.shape
        entry, level = np.nonzero(self._weight)
        observation = self.cells.observation[entry]
        weight = self._weight[entry, level] / self._total(self._weight.sum(axis=1))[observation]
        first = {"temperature": 0, "salinity": levels, "sea_level": 2 * levels}
        start = np.array([first[name] for name in self.observations.quantity.tolist()])
        channel = start[observation] + level
        place = self.cells.row[entry] * columns + self.cells.column[entry]
        index = channel * rows * columns + place
        return tuple(torch.from_numpy(a) for a in (index, observation, weight))  # type: ignore[return-value]

    @property
    def _weight(self) -> FloatArray:
        """Weight `e z` of each cell, not yet normalised."""
        return self.cells.weight[:, None] * self.share

    @property
    def _surface(self) -> NDArray[np.bool_]:
        return self.grid.wet[0, self.cells.row, self.cells.column]

    def _total(self, weight: FloatArray) -> FloatArray:
        count = len(self.observations)
        return np.bincount(self.cells.observation, weight, minlength=count).astype(np.float64)


def _cells(observations: Observations, grid: OceanGrid) -> Cells:
    locator = Locator(grid)
    box = (observations.width > 0) | (observations.height > 0)
    points = np.flatnonzero(~box)
    corners = locator.corners(observations.longitude[points], observations.latitude[points])
    parts = [
        Cells(
            np.repeat(points, 4),
            corners.row.ravel(),
            corners.column.ravel(),
            corners.weight.ravel(),
            np.zeros(4 * len(points), dtype=bool),
        )
    ]
    parts += [_box(observations, number, locator) for number in np.flatnonzero(box).tolist()]
    return Cells(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _box(observations: Observations, number: int, locator: Locator) -> Cells:
    """The cells within a box, by their share of its area."""
    east, north = locator.offsets(observations.longitude[number], observations.latitude[number])
    near = (np.abs(east) <= 0.5 * observations.width[number]) & (
        np.abs(north) <= 0.5 * observations.height[number]
    )
    row, column = np.nonzero(near)
    area = locator.grid.area[row, column]
    return Cells(
        np.full(len(row), number), row, column, area / area.sum(), np.ones(len(row), dtype=bool)
    )


def _levels(observations: Observations, grid: OceanGrid, cells: Cells) -> FloatArray:
    """Weight `e z` of the levels of each column; 0 in dry cells and for layers below the floor."""
    wet = grid.wet[:, cells.row, cells.column].T
    thickness = np.where(wet, grid.thickness[:, cells.row, cells.column].T, 0.0)
    top = observations.top[cells.observation][:, None]
    bottom = observations.bottom[cells.observation][:, None]
    floor = thickness.cumsum(axis=1)
    within = np.minimum(floor, bottom) - np.maximum(floor - thickness, top)
    layer = within.clip(0, None)
    depth_of_layer = layer.sum(axis=1, keepdims=True)
    mean = np.where(
        cells.box[:, None], layer, layer / np.where(depth_of_layer > 0, depth_of_layer, 1)
    )
    point = np.where(top <= floor[:, -1:], _interpolated(top[:, 0], grid.depth, wet), 0.0)
    level = observations.quantity[cells.observation] == "sea_level"
    share = np.where(bottom > top, mean, point)
    share[level] = 0.0
    share[level, 0] = wet[level, 0]
    return share


def _interpolated(depth: FloatArray, centres: FloatArray, wet: NDArray[np.bool_]) -> FloatArray:
    """Weights `e z` of linear interpolation at depths `e` between a column's wet centres."""
    last = np.maximum(wet.sum(axis=1) - 1, 0)  # columns are wet from the surface to the floor
    within = np.clip(depth, centres[0], centres[last])
    below = np.searchsorted(centres, within).clip(1, max(len(centres) - 1, 1))
    share = np.zeros(wet.shape)
    entry = np.arange(len(depth))
    if len(centres) == 1:
        share[:, 0] = 1.0
    else:
        fraction = (within - centres[below - 1]) / (centres[below] - centres[below - 1])
        share[entry, below - 1] = 1 - fraction
        share[entry, below] = fraction
    return share * wet


def _refuse(reasons: dict[str, NDArray[np.bool_]], observations: Observations) -> None:
    """Raise UserError if observations are misplaced, naming the most frequent reason."""
    reason, wrong = max(reasons.items(), key=lambda item: item[1].sum())
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    place = (
        f"{observations.quantity[first]} at {observations.longitude[first]:g} east, "
        f"{observations.latitude[first]:g} north, {observations.depth[first]:g} m"
    )
    raise UserError(
        f"{int(wrong.sum())} of {len(observations)} observations {reason}, the first {place}: "
        "correct their positions, or leave them out with --leave-out"
    )
