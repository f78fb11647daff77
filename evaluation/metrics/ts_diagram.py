"""Water masses: how the volume of the ocean is distributed over temperature and salinity."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.weights import cell_volume

CLASSES = 60  # of temperature and of salinity

COLUMNS = (
    Column(
        "ts_misplaced_percent", "volume in another T-S class", "%",
        "volume that would have to change its class of temperature and salinity (60 x 60 over the "
        "range of the truth) to match the truth; target: the value of training states", target=0.0,
    ),
)  # fmt: skip


class Classes(NamedTuple):
    """Edges of the classes of temperature and salinity, `n+1` each, in their units."""

    temperature: Tensor
    salinity: Tensor


def ts_metrics(state: State, reference: State, grid: OceanGrid) -> dict[str, float]:
    """Distance of `state` from `reference` in the T-S diagram; see `COLUMNS`.

    Half the sum of absolute differences of the volume shares (the total variation distance): 0 for
    equal, 100 % for distinct water masses.
    """
    classes = classes_of(reference, grid)
    ours, theirs = (volume_census(one, grid, classes) for one in (state, reference))
    return {"ts_misplaced_percent": float(50 * (ours - theirs).abs().sum())}


def classes_of(state: State, grid: OceanGrid) -> Classes:
    """Equal classes over the range of the state's wet cells, both ends included."""
    return Classes(_edges(state.temperature, grid), _edges(state.salinity, grid))


def volume_census(state: State, grid: OceanGrid, classes: Classes) -> Tensor:
    """Share of the volume in each class, `n+2 n+2` (temperature, salinity); the sum is 1.

    The first and last rows and columns hold water outside of the classes. Mean over the states.
    """
    counts = [len(edges) + 1 for edges in classes]
    census = torch.zeros(counts[0] * counts[1], dtype=torch.float64)
    volume = cell_volume(grid)
    for level, cells in enumerate(wet_tensor(grid)):
        row, column = (
            torch.bucketize(field[:, level, cells].double(), edges, right=True)
            for field, edges in zip((state.temperature, state.salinity), classes, strict=True)
        )
        weights = volume[level, cells].expand_as(row)
        census += torch.bincount(
            (row * counts[1] + column).flatten(), weights.flatten(), minlength=len(census)
        )
    return (census / census.sum()).reshape(*counts)


def _edges(field: Tensor, grid: OceanGrid) -> Tensor:
    wet = wet_tensor(grid)
    least, most = float(field.amin(dim=0)[wet].min()), float(field.amax(dim=0)[wet].max())
    edges = torch.linspace(least, most, CLASSES + 1, dtype=torch.float64)
    edges[-1] = math.nextafter(most, math.inf)  # a class has its lower edge only
    return edges
