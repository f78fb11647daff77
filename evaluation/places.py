"""Names of places on a grid, for sentences."""

from __future__ import annotations

import numpy as np

from data.grid import OceanGrid


def row_name(grid: OceanGrid, row: int) -> str:
    """Latitude of a row, such as "62°S", or y in km; of the mean over its sea on curved grids."""
    _, latitude = grid.positions
    wet = grid.wet[0, row]
    value = float(latitude[row, wet].mean() if wet.any() else latitude[row].mean())
    if grid.horizontal_units != "degrees":
        return f"y = {value:.0f} {grid.horizontal_units}"
    return _degrees(value, "N", "S")


def column_name(grid: OceanGrid, row: int, column: int) -> str:
    """Position of a water column, such as "62°S, 20°E", or x and y in km."""
    longitude, latitude = (float(axis[row, column]) for axis in grid.positions)
    if grid.horizontal_units != "degrees":
        unit = grid.horizontal_units
        return f"x = {longitude:.0f} {unit}, y = {latitude:.0f} {unit}"
    around = (longitude + 180) % 360 - 180
    return f"{_degrees(latitude, 'N', 'S')}, {_degrees(around, 'E', 'W')}"


def level_name(grid: OceanGrid, level: int) -> str:
    """Depth of a level, such as "480 m"."""
    return f"{np.asarray(grid.depth)[level]:.0f} m"


def _degrees(value: float, positive: str, negative: str) -> str:
    rounded = round(value)
    if rounded == 0:
        return "the equator" if positive == "N" else "0°"
    return f"{abs(rounded)}°{positive if rounded > 0 else negative}"
