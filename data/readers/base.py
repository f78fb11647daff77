"""What all readers share: conventions of files, the settings of a reader, an opened output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from data.checks import check_finite
from data.grid import OceanGrid
from data.readers.clock import Clock
from data.settings import Section
from data.state import State

NONE = "none"  # instead of a name: the file's variable is not read
_SLAB_SAMPLES, _SLAB_BYTES = 16, 2**26


class Variables(Section):
    """Names of variables in the files.

    Needed only where they are not found by standard or customary names. "none" leaves sea level,
    mask, area or thickness of the file out.
    """

    temperature: str | None = None
    salinity: str | None = None
    sea_level: str | None = None
    depth: str | None = None
    longitude: str | None = None
    latitude: str | None = None
    mask: str | None = None
    area: str | None = None
    thickness: str | None = None

    @model_validator(mode="after")
    def _check_needed(self) -> Self:
        for name in ("temperature", "salinity", "depth", "longitude", "latitude"):
            if getattr(self, name) == NONE:
                raise ValueError(f"{name} is needed and cannot be {NONE}: give a variable's name")
        return self


class Conventions(Section):
    """Conventions that a file does not state."""

    variables: Variables = Field(default_factory=Variables)
    temperature_units: Literal["degC", "K"] = Field("degC", description="K is converted to degC")
    depth_positive: Literal["down", "up"] = Field("down", description="up changes the sign")
    periodic_x: bool = Field(False, description="the last column of x adjoins the first")
    calendar: Literal["360_day", "365_day"] | None = Field(
        None,
        description="length of the year where the files do not state it; default 365.25 d",
    )

    def with_names(self, names: Mapping[str, str], **changes: Any) -> Self:
        """A copy with default `names` of variables, which the settings override, and `changes`."""
        given = self.variables.model_dump(exclude_none=True)
        return self.model_copy(update={"variables": Variables(**{**names, **given}), **changes})


class Reader(Conventions):
    """The settings of one model's reader: conventions, and options that only this model needs.

    A subclass has a field `name: Literal["..."]`, the value of `reader` in a YAML, and implements
    `open`. It is registered in `data.ingest.AnyReader`.
    """

    def outputs(self, paths: Sequence[Path]) -> list[list[Path]]:
        """`paths` grouped by output; by default each path is an output of its own."""
        return [[path] for path in paths]

    def open(self, *paths: Path) -> ModelOutput:
        """Open one output. Raises UserError for files that are unreadable or ambiguous."""
        raise NotImplementedError


@dataclass(frozen=True)
class ModelOutput:
    """One opened file: its grid, its times and access to its states.

    years: `(sample,)`, model time [years]
    clock: what the years count from; None if the file has no time
    temperature, salinity: `sample z y x`, read lazily; sea_level: `sample y x` or None
    dataset: the file, for attributes and other variables
    order: slice over levels that puts the surface first
    offset: added to temperature [K]
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

    def __len__(self) -> int:
        return len(self.years)

    def read(self, samples: slice) -> State:
        """The states of `samples`, float32, degC, land 0. Raises UserError for NaN in wet cells."""
        wet = self.grid.wet
        temperature = self._field(self.temperature[samples, self.order], wet, samples) + self.offset
        salinity = self._field(self.salinity[samples, self.order], wet, samples)
        sea_level = None
        if self.sea_level is not None:
            sea_level = torch.from_numpy(self._field(self.sea_level[samples], wet[0], samples))
        blank = np.where(wet, temperature, 0).astype(np.float32)
        return State(torch.from_numpy(blank), torch.from_numpy(salinity), sea_level)

    def states(self, samples: NDArray[np.integer]) -> Iterator[State]:
        """The states of `samples` (increasing), one at a time (batch 1)."""
        levels, rows, columns = self.grid.shape
        # Model files often chunk several time steps together, so a few are read at once.
        slab = int(np.clip(_SLAB_BYTES // (4 * levels * rows * columns), 1, _SLAB_SAMPLES))
        for start in range(0, len(self), slab):
            wanted = samples[(samples >= start) & (samples < start + slab)] - start
            if wanted.size == 0:
                continue
            states = self.read(slice(start, start + slab))
            for row in wanted.tolist():
                yield states.map(itemgetter(slice(row, row + 1)))

    def _field(
        self, field: xr.DataArray, wet: NDArray[np.bool_], samples: slice
    ) -> NDArray[np.float32]:
        values = np.where(wet, field.values.astype(np.float32), np.float32(0))
        first = samples.start or 0
        check_finite(
            values,
            numbers=range(first, first + len(values)),
            path=self.path,
            name=str(field.name),
            advice="correct the mask or the file",
        )
        return values
