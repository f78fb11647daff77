"""What an archive holds, in a few lines for the eye of the modeller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from data.archive.format import SPLITS, UNUSED
from data.geometry import centre_distances
from data.grid import OceanGrid
from data.plausibility import repeated_positions
from data.readers.clock import Clock
from data.records import LevelRecord
from data.state import State

_PARTS = {**{number: name for name, number in SPLITS.items()}, UNUSED: "unused"}
_MOST_MEMBERS = 12  # shown one by one
_JULIAN_YEAR = 365.25  # days, where the files state no calendar
_FEW_STATES, _FEW_INDEPENDENT, _FEW_VALIDATION = 100, 20, 10
_CELLS_JUDGED = 20_000  # of larger grids not every state is: a look at some suffices
_MUCH_OVERTURNING = 5.0  # % of the pairs; in states of the models that ship it is below 1


@dataclass(frozen=True)
class Stability:
    """How the stability of states is judged.

    equation: name of the equation of state
    judge: shares of a state (batch 1) that overturn [%]: of pairs of cells, and of water columns
    """

    equation: str
    judge: Callable[[State], tuple[float, float]]


@dataclass
class Summary:
    """Counts states by member and part, and keeps what describes their fields.

    clock: what years count from, if it is known; stability: None leaves it out
    assumed_days: whether files do not state the units of time
    """

    grid: OceanGrid
    salinity_unit: str
    stability: Stability | None = None
    clock: Clock | None = None
    assumed_days: bool = False
    _counts: dict[int, Counter[str]] = field(default_factory=dict)
    _years: dict[int, list[float]] = field(default_factory=dict)
    _ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    _overturning: list[tuple[float, float]] = field(default_factory=list)
    _seen: int = 0

    def __post_init__(self) -> None:
        self._record = LevelRecord(self.grid)

    def add(self, state: State, *, member: int, split: int, year: float) -> None:
        """Count one state (batch 1)."""
        self._counts.setdefault(member, Counter())[_PARTS.get(split, str(split))] += 1
        self._years.setdefault(member, []).append(year)
        temperature = state.temperature.numpy()[0]
        self._extend("T", temperature[self.grid.wet])
        self._extend("S", state.salinity.numpy()[0][self.grid.wet])
        if state.sea_level is not None:
            self._extend("sea level", state.sea_level.numpy()[0][self.grid.wet[0]])
        levels = self._record.levels.values()
        self._record.add([temperature[level] for level in levels], member=member, year=year)
        if self.stability and self._seen % max(1, self.grid.wet.size // _CELLS_JUDGED) == 0:
            self._overturning.append(self.stability.judge(state))
        self._seen += 1

    def _extend(self, name: str, values: np.ndarray) -> None:
        low, high = self._ranges.get(name, (np.inf, -np.inf))
        if values.size:
            self._ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))

    def as_dict(self) -> dict[str, object]:
        """The same as the text, for JSON."""
        first, last = self._span()
        return {
            "states": self._total(),
            "members": {str(number): dict(count) for number, count in self._counts.items()},
            "time": {
                "first_year": first,
                "last_year": last,
                "interval_years": self._interval(),
                "first": self.clock and self.clock.date(first),
                "last": self.clock and self.clock.date(last),
            },
            "cells": {"z y x": list(self.grid.shape), "wet": int(self.grid.wet.sum())},
            "levels_m": [float(depth) for depth in self.grid.depth],
            "resolution_km": list(self._resolution()),
            "ranges": {name: list(pair) for name, pair in self._ranges.items()},
            "independent_states": self._independent(),
            "overturning_percent": self._stability(),
            "warnings": self.warnings(),
        }

    def __str__(self) -> str:
        """States by member and part, the grid, the fields, and warnings, each on a line."""
        return "\n".join(
            [
                *self._states(),
                *self._dates(),
                self._cells(),
                self._levels(),
                *self._fields(),
                self._worth(),
                *self._unstable(),
                *(f"warning: {sentence}" for sentence in self.warnings()),
            ]
        )

    def warnings(self) -> list[str]:
        """A sentence for each reason to expect little of a model that learns from the states."""
        total, (name, fewest) = sum(self._total().values()), self._fewest()
        validation = self._total().get("validation", 0)
        found = []
        if total < _FEW_STATES:
            found.append(
                f"{total} states are few: with fewer than {_FEW_STATES}, generated states tend to "
                "repeat them."
            )
        if fewest < _FEW_INDEPENDENT:
            found.append(
                f"the states amount to {fewest:.0f} independent ones ({name}): with fewer than "
                f"{_FEW_INDEPENDENT}, means and variances are uncertain; a longer record helps, "
                "more frequent states do not."
            )
        columns = 0 if self.grid.periodic_x else repeated_positions(self.grid)
        if columns:
            found.append(
                f"the last columns repeat the first ({columns}) and are kept, with a wall between "
                "them, as restarts of NEMO 4.0 and earlier need it: for other models set "
                f"data.ingest.drop_columns: {columns} and data.ingest.periodic_x: true."
            )
        if self.assumed_days:
            found.append(
                "time has no units and is taken to be in days: compare the dates with your run; "
                "else set data.ingest.time_units (seconds, minutes, hours, months or years)."
            )
        if self._record.repeated:
            found.append(
                f"{self._record.repeated} states are identical to others and count once among the "
                "independent ones: leave repeated states or files out."
            )
        if validation < _FEW_VALIDATION:
            found.append(
                f"{validation} states are for validation: fewer than {_FEW_VALIDATION} do not show "
                "when training should end."
            )
        shares = self._stability()
        if shares and shares["pairs"] > _MUCH_OVERTURNING:
            found.append(
                f"{shares['pairs']:.2g} % of the pairs of cells overturn: the model may use "
                "another equation of state, temperature or salinity; see "
                "data.ingest.equation_of_state."
            )
        return found

    def _total(self) -> Counter[str]:
        return sum(self._counts.values(), Counter())

    def _states(self) -> list[str]:
        total = self._total()
        lines = [f"{total.total()} states: {_listed(total)}"]
        if 1 < len(self._counts) <= _MOST_MEMBERS:
            lines += [f"  member {number}: {_listed(n)}" for number, n in self._counts.items()]
        elif len(self._counts) > _MOST_MEMBERS:
            sizes = sorted({count.total() for count in self._counts.values()})
            lines.append(f"  {len(self._counts)} members of {sizes[0]} to {sizes[-1]} states")
        return lines

    def _span(self) -> tuple[float, float]:
        years = [year for member in self._years.values() for year in member]
        return min(years), max(years)

    def _interval(self) -> float | None:
        """Usual interval of the states of a member [years]."""
        steps = [step for years in self._years.values() for step in np.diff(sorted(years))]
        return float(np.median(steps)) if steps else None

    def _dates(self) -> list[str]:
        if not self._years:
            return []
        ends = self._span()
        dates = [self.clock.date(end) if self.clock else None for end in ends]
        known = None not in dates
        span = " to ".join(map(str, dates)) if known else f"years {ends[0]:.4g} to {ends[1]:.4g}"
        interval = self._interval()
        return [f"dates: {span}" + (f", every {self._as_time(interval)}" if interval else "")]

    def _as_time(self, years: float) -> str:
        days = years * (self.clock.days_per_year if self.clock else _JULIAN_YEAR)
        return f"{years:.4g} years" if years >= 1 else f"{days:.4g} days"

    def _cells(self) -> str:
        levels, rows, columns = self.grid.shape
        periodic = ", periodic in x" if self.grid.periodic_x else ""
        wet = self.grid.wet
        size = " x ".join(f"{length:.3g}" for length in self._resolution())
        return (
            f"grid: {columns} x {rows} x {levels} cells of {size} km{periodic}, {wet.sum()} wet "
            f"({100 * wet.mean():.1f} %)"
        )

    def _resolution(self) -> tuple[float, float]:
        """Median distance of wet columns along x and y [km]."""
        grid, surface = self.grid, self.grid.wet.any(axis=0)
        pair = centre_distances(grid.longitude, grid.latitude, units=grid.horizontal_units)
        x, y = (float(np.median(distance[surface])) / 1e3 for distance in pair)
        return x, y

    def _levels(self) -> str:
        depth = self.grid.depth
        return f"levels: {len(depth)}, from {depth[0]:.4g} to {depth[-1]:.4g} m"

    def _fields(self) -> list[str]:
        units = {"T": "degC", "S": self.salinity_unit, "sea level": "m"}
        ranges = [
            f"{name} {low:.4g} to {high:.4g} {units[name]}"
            for name, (low, high) in self._ranges.items()
        ]
        return [f"in wet cells: {', '.join(ranges)}"] if ranges else []

    def _independent(self) -> dict[str, float]:
        depths = {name: self.grid.depth[level] for name, level in self._record.levels.items()}
        counts = self._record.independent().items()
        return {f"{name}, {depths[name]:.4g} m": count for name, count in counts}

    def _fewest(self) -> tuple[str, float]:
        return min(self._independent().items(), key=lambda item: item[1])

    def _worth(self) -> str:
        counts = [f"{count:.0f} ({name})" for name, count in self._independent().items()]
        return f"independent states: {', '.join(counts)}"

    def _stability(self) -> dict[str, float] | None:
        if not self._overturning:
            return None
        pairs, columns = np.mean(self._overturning, axis=0).tolist()
        return {"pairs": pairs, "columns": columns}

    def _unstable(self) -> list[str]:
        shares = self._stability()
        if not self.stability or shares is None:
            return []
        return [
            f"overturning by {self.stability.equation}: {shares['pairs']:.2g} % of the pairs of "
            f"cells, in {shares['columns']:.2g} % of the columns"
        ]


def _listed(counts: Counter[str]) -> str:
    """Numbers of states by part, in the order of the parts."""
    return ", ".join(f"{counts[name]} {name}" for name in _PARTS.values() if counts[name])
