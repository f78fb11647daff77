"""Members of an ensemble as vectors: their parameters, their way, and where it leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Records:
    """Records of `m` members, or of `m` runs whose equilibrium is unknown.

    points: parameters, `m p`, each with a variance of about 1; steps: `m p`, what they changed by
    when the run began; years: `t`, those after the change of which there are means; means: `m t v`;
    equilibrium: `m v`; ages: those over which the equilibrium is a mean [years]
    """

    points: FloatArray
    steps: FloatArray
    years: FloatArray
    means: FloatArray
    equilibrium: FloatArray
    ages: FloatArray

    def __len__(self) -> int:
        return len(self.points)

    def at(self, members: Sequence[int]) -> Records:
        """The records of some members."""
        rows = np.asarray(members, dtype=np.int64)
        return replace(
            self,
            points=self.points[rows],
            steps=self.steps[rows],
            means=self.means[rows],
            equilibrium=self.equilibrium[rows],
        )

    def without(self, member: int) -> Records:
        """The records of the other members."""
        return self.at([other for other in range(len(self)) if other != member])

    def until(self, year: float) -> Records:
        """The same without what comes after `year`."""
        known = self.years <= year
        return replace(self, years=self.years[known], means=self.means[:, known])

    def projected(self, basis: FloatArray) -> Records:
        """The coordinates of the same vectors in an orthonormal `basis` `k v`."""
        return replace(self, means=self.means @ basis.T, equilibrium=self.equilibrium @ basis.T)

    @property
    def first(self) -> FloatArray:
        """The means of the first year, `m v`."""
        return self.means[:, 0]

    @property
    def last(self) -> FloatArray:
        """The means of the last year, `m v`."""
        return self.means[:, -1]

    @property
    def change(self) -> FloatArray:
        """The change from the first to the last year, `m v`."""
        return self.last - self.first

    @property
    def tendency(self) -> FloatArray:
        """The change per year between the last two means, `m v`."""
        return (self.last - self.means[:, -2]) / (self.years[-1] - self.years[-2])


def span(records: Records) -> FloatArray:
    """An orthonormal basis `k v` of all vectors of the records."""
    vectors = np.concatenate([*records.means, records.equilibrium])
    _, sizes, basis = np.linalg.svd(vectors, full_matrices=False)
    spanned: FloatArray = basis[sizes > 1e-9 * sizes[0]]
    return spanned
