"""Whether the last column of a grid adjoins the first."""

from __future__ import annotations

import numpy as np

from data.findings import Finding
from data.grid import OceanGrid
from data.readers.base import ModelOutput

_CLOSES = (0.5, 1.5)  # gap between the last and the first column, in widths of a column
_AS_SMOOTH = 2.0  # step of temperature across the ends of x, in steps between neighbours


def periodic_x(output: ModelOutput) -> Finding:
    """By the file's attribute, else by longitudes around the globe, else by the values.

    On a plane and in a sector, positions do not tell. There x is periodic if some rows are wet at
    both ends, and temperature changes no more from the last column to the first than between
    neighbours; an open boundary is not so.
    """
    stated = output.dataset.attrs.get("periodic_x")
    if stated is not None:
        return Finding(bool(stated), "as the files state")
    gap = _gap_in_widths(output.grid)
    if gap is not None and _CLOSES[0] < gap < _CLOSES[1]:
        return Finding(True, "longitudes go around the globe")
    if gap is not None and gap <= _CLOSES[0]:
        return Finding(False, "the last columns are where the first are", True)
    step = _step_across(output)
    if step is None:
        return Finding(False, "the ends of x are land")
    if step < _AS_SMOOTH:
        return Finding(True, "both ends of x are ocean and temperature continues across", True)
    return Finding(False, "temperature does not continue across the ends of x", True)


def _gap_in_widths(grid: OceanGrid) -> float | None:
    """What is missing to 360 degrees beside one turn of columns; None on a plane."""
    if grid.horizontal_units != "degrees" or grid.shape[2] < 3:
        return None
    wet = grid.wet.any(axis=(0, 2))
    longitude = grid.positions[0][wet]
    steps = (np.diff(longitude, axis=1) + 180) % 360 - 180
    turns = np.abs(steps.sum(axis=1))
    width = float(np.median(np.abs(steps)))
    return (360 - float(np.median(turns))) / width if width > 0 else None


def _step_across(output: ModelOutput) -> float | None:
    """Rms step of temperature from the last column to the first, in the usual step along x.

    None where no cell is wet at both ends, or where temperature does not change along x.
    """
    wet = output.grid.wet
    both = wet[..., 0] & wet[..., -1]
    if not both.any():
        return None
    field = np.where(wet, output.temperature[0].values[output.order], np.nan).astype(np.float64)
    across = float(np.sqrt(np.mean((field[..., 0] - field[..., -1])[both] ** 2)))
    steps = np.diff(field, axis=2)[both]
    known = steps[np.isfinite(steps)]
    usual = float(np.sqrt(np.mean(known**2))) if known.size else 0.0
    return across / usual if usual > 0 else None
