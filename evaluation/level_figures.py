"""Figures of metrics by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from data.grid import OceanGrid
from evaluation.canvas import new_figure, row_colours, stretch_depth, styled

FIELDS = ("temperature", "salinity")


@styled
def variance_by_level(
    profiles: Mapping[str, Mapping[str, Sequence[float]]], grid: OceanGrid
) -> Figure:
    """Variance over the states relative to that of the training states, by level.

    profiles: `z` ratios of each row, by "temperature" and "salinity", as
        `evaluation.metrics.variance.variance_profiles` returns them
    """
    figure, axes = new_figure(1, len(FIELDS), panel=(3.6, 3.8))
    for ax, field in zip(axes[0], FIELDS, strict=True):
        ax.axvspan(0.95, 1.05, color="0.9", zorder=0)
        for name, colour in row_colours(profiles).items():
            ax.plot(profiles[name][field], grid.depth, color=colour, label=name, marker=".")
        ax.set_xlabel(f"variance of {field} / training")
        stretch_depth(ax, grid)
    axes[0, 0].set_ylabel("depth [m]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.suptitle("Variance by level (grey: within 5 % of the training states)")
    return figure
