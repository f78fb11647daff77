"""Temperature at three depths over time, from which independent states are counted."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.archive.independence import independent_fields
from data.grid import OceanGrid

# Nominal depths [m], and their largest share of the deepest level's depth in shallower oceans.
_DEPTHS = {"surface": (0.0, 0.0), "thermocline": (500.0, 0.2), "deep": (2000.0, 0.7)}
_MOST_COLUMNS = 256  # of a level; anomalies are smooth, so that more columns add little
# States from which a correlation can be estimated: five monthly ones, without their trend, look
# independent.
_FEWEST = 8
_SEASON_YEARS = 5.0  # a shorter record does not tell the year's mean course from anomalies
_MONTHS = 12


class LevelRecord:
    """Collects temperature of some columns at the surface, in the thermocline and in the deep.

    A state that was there before, in any member, is left out: it adds nothing independent.

    levels: number of the level of each name; two names that would share a level are one
    added: how many states were added; repeated: how many of them were left out
    dense: whether the whole record resolves the year, where only some of its states are added;
        None to judge by those that are added
    """

    def __init__(self, grid: OceanGrid, *, dense: bool | None = None) -> None:
        self.depth = grid.depth
        self.added = self.repeated = 0
        self.dense = dense
        self.levels = _levels(grid)
        self._columns = {name: _columns(grid.wet[level]) for name, level in self.levels.items()}
        self._weights = {name: grid.area.ravel()[found] for name, found in self._columns.items()}
        self._years: dict[int, list[float]] = defaultdict(list)
        self._values: dict[tuple[int, str], list[NDArray[np.float32]]] = defaultdict(list)
        self._counted: dict[tuple[int, str], float] = {}
        self._seen: set[bytes] = set()

    def add(self, maps: Sequence[NDArray[np.floating]], *, member: int, year: float) -> None:
        """Keep one state: `maps` has temperature `y x` of each of `levels`."""
        kept = {
            name: values.ravel()[columns].astype(np.float32)
            for (name, columns), values in zip(self._columns.items(), maps, strict=True)
        }
        self.added += 1
        if self._was_there(kept.values()):
            self.repeated += 1
            return
        self._years[member].append(year)
        self._counted.clear()
        for name, values in kept.items():
            self._values[member, name].append(values)

    def _was_there(self, kept: Iterable[NDArray[np.float32]]) -> bool:
        digest = hashlib.blake2b(digest_size=16)
        for values in kept:
            digest.update(values.tobytes())
        found = digest.digest() in self._seen
        self._seen.add(digest.digest())
        return found

    def independent(self) -> dict[str, float]:
        """Number of independent states by name of the level, summed over the members.

        By the integral time scale of the three leading EOF coefficients, without trend and, in
        records that resolve it, mean season (`data.archive.independence.independent_fields`). A
        member of too few states to tell counts as one.
        """
        return {
            name: sum(self._independent(member, name) for member in self._years)
            for name in self.levels
        }

    def decorrelation_years(self) -> float:
        """Time between independent states where it is longest [years]; 0 if it is not known."""
        longest = 0.0
        for member, years in self._years.items():
            counts = [self._independent(member, name) for name in self.levels]
            if len(years) >= _FEWEST:
                longest = max(longest, float(np.ptp(years)) / min(counts))
        return longest

    def _independent(self, member: int, name: str) -> float:
        if (member, name) not in self._counted:
            self._counted[member, name] = self._count(member, name)
        return self._counted[member, name]

    def _count(self, member: int, name: str) -> float:
        years = np.asarray(self._years[member])
        if len(years) < _FEWEST:
            return 1.0
        order = np.argsort(years, kind="stable")
        fields = np.stack(self._values[member, name])[order].astype(np.float64)
        if not np.ptp(fields, axis=0).any():
            return 1.0
        dense = resolves_year(years) if self.dense is None else self.dense
        season = _season(years[order]) if dense else None
        return independent_fields(fields, weights=self._weights[name], season=season)


def _levels(grid: OceanGrid) -> dict[str, int]:
    wet = grid.wet.any(axis=(1, 2))
    deepest = float(grid.depth[wet][-1]) if wet.any() else float(grid.depth[-1])
    levels: dict[str, int] = {}
    for name, (metres, share) in _DEPTHS.items():
        level = int(np.abs(grid.depth - min(metres, share * deepest)).argmin())
        if level not in levels.values():
            levels[name] = level
    return levels


def _columns(wet: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Wet columns of a level, evenly spread."""
    found = np.flatnonzero(wet)
    count = min(len(found), _MOST_COLUMNS)
    return found[np.linspace(0, len(found) - 1, count).round().astype(int)] if count else found


def resolves_year(years: NDArray[np.float64]) -> bool:
    """Whether a member's record is long and dense enough to tell a mean year."""
    span = float(np.ptp(years))
    return len(years) > 1 and span >= _SEASON_YEARS and span / (len(years) - 1) <= 0.5


def _season(years: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """The month of each state, where there are enough for a mean year."""
    if float(np.ptp(years)) < _SEASON_YEARS or len(years) < 2 * _MONTHS:
        return None
    months = np.floor(years % 1 * _MONTHS + 1e-6).astype(np.int64) % _MONTHS
    # A month that occurs once would be removed as a whole.
    _, where, counts = np.unique(months, return_inverse=True, return_counts=True)
    return months if counts[where].min() > 1 else None
