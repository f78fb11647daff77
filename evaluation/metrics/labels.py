"""Labels of states of a simulation: ensemble member, time and season."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Labelled(Protocol):
    """What has labels, such as `data.archive.reader.StateArchive`.

    member, time: `(sample,)`: ensemble member, model years; parameters: each `(sample,)`
    """

    @property
    def member(self) -> NDArray[np.int64]:
        """Ensemble member of each sample."""

    @property
    def time(self) -> NDArray[np.float64]:
        """Model time of each sample [years]."""

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Parameters of each sample, by name."""


@dataclass(frozen=True)
class Labels:
    """Labels of `b` states: member, time within the member [years], season [fraction of a year]."""

    member: NDArray[np.int64]
    time: NDArray[np.float64]
    season: NDArray[np.float64]

    @classmethod
    def of(cls, archive: Labelled, indices: Sequence[int] | NDArray[np.integer]) -> Labels:
        """Labels of the samples at `indices`.

        The season is the parameter of that name, otherwise the fraction of the year of the time.
        """
        where = np.asarray(indices, dtype=np.int64)
        season = archive.parameters.get("season", archive.time % 1)
        return cls(archive.member[where], archive.time[where], season[where])

    def __len__(self) -> int:
        return len(self.member)

    @property
    def groups(self) -> NDArray[np.int64]:
        """Position `b` of each state's member among the members, which are sorted."""
        return np.unique(self.member, return_inverse=True)[1].astype(np.int64)
