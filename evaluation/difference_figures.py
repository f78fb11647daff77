"""The figure of differences: where mean and spread of generated states are not the truth's."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.grid import OceanGrid
from data.salinity import Salinity
from evaluation.canvas import FloatArray, Scale, draw_map, is_tall, map_panel, new_figure, styled
from evaluation.differences import Differences


@styled
def difference_maps(differences: Differences, grid: OceanGrid, salinity: Salinity) -> Figure:
    """Maps of generated minus true mean (above) and standard deviation over the states (below).

    Of temperature and salinity at the surface, the depth of the mixed layer and, if there is one,
    the sea level. Without standard deviations if truth or generated states are a single one.
    """
    units = {"temperature": "K", "salinity": salinity.shown, "mixed layer": "m", "sea level": "m"}
    shown = differences.maps
    has_spread = all(np.isfinite(field.spread).any() for field in shown.values())
    width, height = map_panel(grid, area=5.0)
    panel = (width + (0.8 if is_tall(grid) else 0.4), height)  # room for a scale at the right
    figure, axes = new_figure(1 + has_spread, len(shown), panel=panel, layout="compressed")
    for column, (name, field) in zip(axes.T, shown.items(), strict=True):
        _draw(figure, column[0], grid, field.bias, title=f"{name},\nmean", unit=units[name])
        if has_spread:
            title = f"{name},\nstandard deviation"
            _draw(figure, column[1], grid, field.spread, title=title, unit=units[name])
    figure.suptitle("Generated minus truth")
    return figure


def _draw(
    figure: Figure, ax: Axes, grid: OceanGrid, values: FloatArray, *, title: str, unit: str
) -> None:
    mesh = draw_map(ax, grid, values, Scale.symmetric([values]))
    ax.set_title(f"{title} [{unit}]")
    figure.colorbar(mesh, ax=ax, extend="both", shrink=0.7)
