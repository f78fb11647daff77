"""What an archive holds, in a few lines for the eye of the modeller."""

from __future__ import annotations

from collections import Counter

import numpy as np

from data.archive.format import SPLITS, UNUSED
from data.grid import OceanGrid
from data.state import State

_PARTS = {**{number: name for name, number in SPLITS.items()}, UNUSED: "unused"}
_MOST_MEMBERS = 12  # shown one by one


class Summary:
    """Counts states by member and part, and keeps the ranges of their fields."""

    def __init__(self, grid: OceanGrid, salinity_unit: str) -> None:
        self.grid = grid
        self.salinity_unit = salinity_unit
        self._counts: dict[int, Counter[str]] = {}
        self._ranges: dict[str, tuple[float, float]] = {}

    def add(self, state: State, *, member: int, split: int) -> None:
        """Count one state (batch 1)."""
        self._counts.setdefault(member, Counter())[_PARTS.get(split, str(split))] += 1
        self._extend("T", state.temperature.numpy()[0][self.grid.wet])
        self._extend("S", state.salinity.numpy()[0][self.grid.wet])
        if state.sea_level is not None:
            self._extend("sea level", state.sea_level.numpy()[0][self.grid.wet[0]])

    def _extend(self, name: str, values: np.ndarray) -> None:
        low, high = self._ranges.get(name, (np.inf, -np.inf))
        if values.size:
            self._ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))

    def __str__(self) -> str:
        """States by member and part, the grid, and the ranges of the fields in wet cells."""
        return "\n".join([*self._states(), self._grid(), self._levels(), self._fields()])

    def _states(self) -> list[str]:
        total = sum(self._counts.values(), Counter())
        lines = [f"{total.total()} states: {_listed(total)}"]
        if 1 < len(self._counts) <= _MOST_MEMBERS:
            lines += [f"  member {number}: {_listed(n)}" for number, n in self._counts.items()]
        elif len(self._counts) > _MOST_MEMBERS:
            sizes = sorted({count.total() for count in self._counts.values()})
            lines.append(f"  {len(self._counts)} members of {sizes[0]} to {sizes[-1]} states")
        return lines

    def _grid(self) -> str:
        levels, rows, columns = self.grid.shape
        periodic = ", periodic in x" if self.grid.periodic_x else ""
        share = 100 * self.grid.wet.mean()
        return f"grid: {columns} x {rows} x {levels} cells{periodic}, {share:.1f} % wet"

    def _levels(self) -> str:
        depth = self.grid.depth
        return f"levels: {len(depth)}, from {depth[0]:.4g} to {depth[-1]:.4g} m"

    def _fields(self) -> str:
        units = {"T": "degC", "S": self.salinity_unit, "sea level": "m"}
        ranges = [
            f"{name} {low:.4g} to {high:.4g} {units[name]}"
            for name, (low, high) in self._ranges.items()
        ]
        return f"in wet cells: {', '.join(ranges)}"


def _listed(counts: Counter[str]) -> str:
    """Numbers of states by part, in the order of the parts."""
    return ", ".join(f"{counts[name]} {name}" for name in _PARTS.values() if counts[name])
