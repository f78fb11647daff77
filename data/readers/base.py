"""What all readers make: an opened output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from data.grid import OceanGrid
from data.plausibility import Door, check_state
from data.readers.chunks import read_together, slab_length
from data.readers.clock import Clock
from data.readers.land import check_constant_land
from data.state import State

_ADVICE = (
    "leave out a state that blew up, declare the missing value (_FillValue) or correct the mask"
)


@dataclass(frozen=True)
class ModelOutput:
    """One opened file: its grid, its times and access to its states.

    years: `(sample,)`, model time [years]
    clock: what the years count from; None if the file has no time
    temperature, salinity: `sample z y x`, read lazily, in dask's chunks where dask is installed;
        sea_level: `sample y x` or None
    dataset: the file, for attributes and other variables
    order: slice over levels that puts the surface first
    offset: added to temperature [K]
    salinity_factor, sea_level_factor: convert to 1e-3 or g/kg, and to m
    dry: `z y x`, cells that no mask marks as land but that hold no water in the first state; they
        must hold none in any; None with a mask of all cells
    """

    path: Path
    grid: OceanGrid
    years: NDArray[np.float64]
    clock: Clock | None
    temperature: xr.DataArray
    salinity: xr.DataArray
    sea_level: xr.DataArray | None
    dataset: xr.Dataset
    order: slice
    offset: float
    salinity_factor: float = 1.0
    sea_level_factor: float = 1.0
    dry: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.years)

    def read(self, samples: slice) -> State:
        """The states of `samples`, float32, degC, land 0.

        Raises UserError for wet cells that are not sea water, and, without a mask, for water in
        cells that are land in the first state.
        """
        first = samples.start or 0
        fields = [self.temperature[samples, self.order], self.salinity[samples, self.order]]
        if self.sea_level is not None:
            fields.append(self.sea_level[samples])
        temperature, salinity, *surface = read_together(fields)
        thetao = self._converted(temperature, offset=self.offset)
        so = self._converted(salinity, factor=self.salinity_factor)
        zos = None
        if surface:
            zos = self._converted(surface[0], factor=self.sea_level_factor)
        sea_level = None if zos is None else torch.from_numpy(zos)
        state = State(torch.from_numpy(thetao), torch.from_numpy(so), sea_level)
        check_state(state, door=self._door, numbers=range(first, first + len(state)))
        if self.dry is not None:
            check_constant_land(self.dry, temperature, salinity, first=first, path=self.path)
        return state

    def states(self, samples: NDArray[np.integer]) -> Iterator[State]:
        """The states of `samples` (increasing), one at a time (batch 1)."""
        levels, rows, columns = self.grid.shape
        slab = slab_length(4 * levels * rows * columns)
        for start in range(0, len(self), slab):
            wanted = samples[(samples >= start) & (samples < start + slab)] - start
            if wanted.size == 0:
                continue
            states = self.read(slice(start, start + slab))
            for row in wanted.tolist():
                yield states.map(itemgetter(slice(row, row + 1)))

    def _converted(
        self, values: NDArray[np.floating], *, factor: float = 1.0, offset: float = 0.0
    ) -> NDArray[np.float32]:
        """Values in the units of a state, 0 on land: `b z y x`, or `b y x` of the surface."""
        wet = self.grid.wet if values.ndim == 4 else self.grid.wet[0]
        # Fill values on land may not fit into single precision.
        known = np.where(wet, values, 0).astype(np.float32)
        converted = known * np.float32(factor) + np.float32(offset)
        return np.where(wet, converted, np.float32(0))

    @property
    def _door(self) -> Door:
        given = {"thetao": self.temperature, "so": self.salinity, "zos": self.sea_level}
        names = {name: str(v.name) for name, v in given.items() if v is not None}
        return Door(self.grid, self.path, _ADVICE, names)
