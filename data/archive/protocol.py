"""The interface of an archive that training, statistics and codecs use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.grid import OceanGrid
from data.state import State


class Archive(Protocol):
    """States of one grid, read in any order; `data.archive.reader.StateArchive` is one.

    path: identifies the archive in messages
    equation_of_state: name of the model's equation of state
    has_sea_level: whether the states carry sea level
    salinity_units: as stored, such as "1e-3", "g/kg" or that of the kind (`data.salinity`)
    """

    path: Path
    grid: OceanGrid
    equation_of_state: str
    has_sea_level: bool
    salinity_units: str

    @property
    def digest(self) -> str:
        """Fingerprint of the states, their split, grid and equation of state."""

    def indices(self, split: str) -> NDArray[np.int64]:
        """Samples of "train", "validation" or "test", in the archive's order."""

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> State:
        """The states at `indices`: temperature and salinity `b z y x`, sea level `b y x`."""
