"""Figures of the study of unseen members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.salinity import SALINITY_UNIT
from evaluation.canvas import ROW_COLOURS, TRUTH_COLOUR, new_figure, stretch_to, styled
from studies.conditional.cells import FloatArray
from studies.conditional.draws import EXPECTED_ADJUSTED, PRODUCT
from studies.conditional.rows import EMULATED, HALVES, NEAREST, PROCESS, RIDGE, TRUTH

LINES = (HALVES, NEAREST, RIDGE, PROCESS, EMULATED, EXPECTED_ADJUSTED, PRODUCT)
MARKS = {NEAREST: "x", PROCESS: "+", PRODUCT: "o"}
DEPTHS = (0.0, 500.0, 2000.0)  # m, of the levels whose means are shown
PANELS = {
    "error_temperature": "error of mean T [K]",
    "error_salinity": f"error of mean S [{SALINITY_UNIT}]",
    "variance_temperature": "variance of T / truth",
    "variance_salinity": "variance of S / truth",
}


@styled
def error_profiles(result: Mapping[str, Any]) -> Figure:
    """Error of the mean and ratio of variances by depth, median over the test members."""
    members = [m for m in result["members"].values() if m["split"] == "test"]
    depth, colours = np.array(result["depth_m"]), _colours(LINES)
    figure, axes = new_figure(1, len(PANELS), panel=(2.6, 3.6))
    for ax, (key, title) in zip(axes[0], PANELS.items(), strict=True):
        for row, colour in colours.items():
            profile = _median([m["profiles"].get(row, {}).get(key) for m in members])
            if profile is not None:
                ax.plot(profile, depth, color=colour, label=result["labels"][row], marker=".")
        ax.set_xlabel(title)
        stretch_to(ax, float(depth[-1]))
    for ax in axes[0, 2:]:
        ax.axvspan(0.9, 1.1, color="0.9", zorder=0)
        ax.set_xscale("log")
    axes[0, 0].set_ylabel("depth [m]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    several = f"Unseen members by level, median of {len(members)}"
    figure.suptitle(several if len(members) > 1 else "An unseen member by level")
    return figure


@styled
def response(result: Mapping[str, Any]) -> Figure:
    """Level-mean T of each unseen member against the truth, with the predicted 90 % range."""
    depth = np.array(result["depth_m"])
    levels = sorted({int(np.abs(depth - wanted).argmin()) for wanted in DEPTHS})
    figure, axes = new_figure(1, len(levels), panel=(3.0, 3.0))
    for ax, level in zip(axes[0], levels, strict=True):
        _response(ax, result, level)
        ax.set_title(f"{depth[level]:.0f} m")
        ax.set_xlabel("true mean T [°C]")
    axes[0, 0].set_ylabel("mean T [°C]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle("Response to the parameters: unseen members (hollow: outside the range)")
    return figure


def _response(ax: Axes, result: Mapping[str, Any], level: int) -> None:
    members = list(result["members"].values())
    true = np.array([m["level_means_degC"][TRUTH][level] for m in members], dtype=float)
    inside = np.array([m["split"] == "test" for m in members])
    colours = _colours(tuple(MARKS))
    for row, mark in MARKS.items():
        ours = np.array([m["level_means_degC"][row][level] for m in members], dtype=float)
        label, colour = result["labels"][row], colours[row]
        ax.plot(true[inside], ours[inside], mark, color=colour, label=label)
        ax.plot(true[~inside], ours[~inside], mark, color=colour, fillstyle="none")
    for x, member in zip(true, members, strict=True):
        bounds = [member["predicted_range_degC"][end] for end in ("low", "high")]
        if level < len(bounds[0]):
            ax.plot([x, x], [bound[level] for bound in bounds], color=colours[PRODUCT], lw=1)
    ax.axline((float(true[0]), float(true[0])), slope=1, color="0.6", zorder=0)


def _median(profiles: Sequence[Sequence[float | None] | None]) -> FloatArray | None:
    """Median over the profiles that exist, NaN at levels without values."""
    known = [np.array(profile, dtype=float) for profile in profiles if profile is not None]
    return np.median(known, axis=0) if known else None


def _colours(rows: Sequence[str]) -> dict[str, str]:
    """The product in black, the others in a fixed order."""
    others = iter(ROW_COLOURS * len(rows))
    return {row: TRUTH_COLOUR if row == PRODUCT else next(others) for row in rows}
