"""States as vectors: temperature and salinity of the wet cells, with the weight of each value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.metrics.distances import DISTANCE_FIELDS, anomaly_scale
from evaluation.metrics.weights import cell_volume

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The wet cells of a grid, and the unit of each level.

    scale: `f z`, standard deviation of the training anomalies of T and S at each level
    """

    grid: OceanGrid
    scale: Tensor

    @classmethod
    def of(cls, training: State, grid: OceanGrid) -> Cells:
        """Cells with the units of these training states."""
        return cls(grid, anomaly_scale(training, grid))

    def vectors(self, states: State) -> FloatArray:
        """T and S of the wet cells, `b n`, in physical units."""
        wet = wet_tensor(self.grid)
        fields = [getattr(states, name)[:, wet].double() for name in DISTANCE_FIELDS]
        return torch.cat(fields, dim=1).numpy()

    def states(self, vectors: FloatArray) -> State:
        """The states of vectors `b n`, without sea level."""
        wet = wet_tensor(self.grid)
        fields = []
        for part in np.split(vectors, len(DISTANCE_FIELDS), axis=1):
            field = torch.zeros(len(vectors), *self.grid.shape)
            field[:, wet] = torch.from_numpy(part).float()
            fields.append(field)
        return State(*fields)

    def standardised(self, vectors: FloatArray) -> FloatArray:
        """Vectors whose squares sum to the mean square in units of the levels, over the volume."""
        return vectors * np.sqrt(self.weights)

    @cached_property
    def weights(self) -> FloatArray:
        """Share of the volume over the squared unit of the level, `n`; 0 where the unit is 0."""
        wet = wet_tensor(self.grid)
        share = cell_volume(self.grid) / (len(self.scale) * cell_volume(self.grid).sum())
        inverse = torch.where(self.scale > 0, self.scale.square().reciprocal(), 0.0)
        parts = [(share * by_level[:, None, None])[wet] for by_level in inverse]
        return torch.cat(parts).numpy()
