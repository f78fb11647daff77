"""The grid-scale oscillation that a tracer step too long excites in the thermocline.

Temperature then alternates from cell to cell by tenths of a kelvin and from step to step. The
run does not diverge, but the oscillation mixes the ocean: its deep levels warm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.grid import OceanGrid

FloatArray = NDArray[np.floating]
THERMOCLINE = (200.0, 1000.0)  # m
LARGEST = 0.1  # K; the basin has 0.01 to 0.05 K without the oscillation, and 0.2 to 0.3 K with it
STATES = 9  # whose steps are judged by their median, because the state may move in single steps


def oscillates(temperatures: Sequence[FloatArray], grid: OceanGrid) -> bool:
    """Whether successive states, each T `z y x` [degC], oscillate; fewer than nine do not tell."""
    last = temperatures[-STATES:]
    return len(last) == STATES and grid_scale_oscillation(last, grid) > LARGEST


def grid_scale_oscillation(temperatures: Sequence[FloatArray], grid: OceanGrid) -> float:
    """Median over the steps between successive states of their change at the grid scale [K].

    The change of T `z y x` [degC] in a cell minus the mean change of its four neighbours, rms over
    a level and divided by the root of two for the two states; mean over the levels of the
    thermocline. NaN without two states or without such levels and cells.
    """
    inner = _with_four_neighbours(grid.wet)
    levels = [k for k in _thermocline(grid) if inner[k].any()]
    steps = np.diff(np.asarray(temperatures, dtype=np.float64)[:, levels], axis=0) / np.sqrt(2)
    if not steps.size:
        return float("nan")
    rough = steps[..., 1:-1, 1:-1] - _mean_of_neighbours(steps)
    squares = [(rough[:, row][:, inner[k]] ** 2).mean(axis=1) for row, k in enumerate(levels)]
    return float(np.median(np.sqrt(squares).mean(axis=0)))


def _thermocline(grid: OceanGrid) -> list[int]:
    shallowest, deepest = THERMOCLINE
    return np.flatnonzero((grid.depth > shallowest) & (grid.depth < deepest)).tolist()


def _with_four_neighbours(wet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Interior cells `z y-2 x-2` that are wet, as are their neighbours."""
    return wet[:, 1:-1, 1:-1] & (_mean_of_neighbours(wet.astype(np.float64)) == 1)


def _mean_of_neighbours(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the four neighbours of the interior cells of `... y x`."""
    rows = field[..., :-2, 1:-1] + field[..., 2:, 1:-1]
    return 0.25 * (rows + field[..., 1:-1, :-2] + field[..., 1:-1, 2:])
