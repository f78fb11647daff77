"""Figures of the ensemble: its design, its way to equilibrium, and its trends by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from data.basin.certificate import Certificate
from data.basin.design import ParameterRange, PlannedMember
from data.salinity import SALINITY_UNIT
from evaluation.canvas import (
    ROW_COLOURS,
    TRUTH_COLOUR,
    new_figure,
    save_figure,
    stretch_depth,
    styled,
)
from evaluation.columns import format_value
from studies.ensemble.continuation import ContinuedMember
from studies.ensemble.depth_ranges import ALL_DEPTHS, depth_ranges
from studies.ensemble.members import REPLICATE, FinishedEnsemble
from studies.ensemble.tables import PARAMETERS, SCALES

PART_COLOURS = {
    "train": TRUTH_COLOUR,
    "validation": ROW_COLOURS[2],
    "test": ROW_COLOURS[1],
    "outside": ROW_COLOURS[0],
    REPLICATE: ROW_COLOURS[3],
}
TRENDS = {
    "temperature": "trend of T [K/century]",
    "salinity": f"trend of S [{SALINITY_UNIT} per century]",
}
OSCILLATION_DEPTH = 350.0  # m
LABELS = {column.key: f"{column.name}\n[{column.unit}]" for column in PARAMETERS}


def save_ensemble_figures(
    ensemble: FinishedEnsemble, continued: Mapping[str, ContinuedMember], directory: Path
) -> None:
    """Save the figures as ensemble_NAME.png in `directory`."""
    save_figure(design(ensemble), directory / "ensemble_design.png")
    save_figure(approach(ensemble, continued), directory / "ensemble_approach.png")
    save_figure(trends_by_level(ensemble), directory / "ensemble_trends.png")
    save_figure(last_steps(ensemble), directory / "ensemble_oscillation.png")


@styled
def design(ensemble: FinishedEnsemble) -> Figure:
    """Members in the planes of all pairs of parameters; those that are not finished are hollow."""
    names = list(ensemble.settings.ranges)
    count = max(len(names) - 1, 1)
    figure, axes = new_figure(count, count, panel=(2.5, 2.2))
    for row, y in enumerate(names[1:]):
        for column, x in enumerate(names[:-1]):
            if column > row:
                axes[row, column].remove()
            else:
                _design_panel(axes[row, column], ensemble, x=x, y=y)
                axes[row, column].label_outer()
    _legend(figure, [ensemble.part(member) for member in ensemble.settings.recorded], marker="o")
    return figure


@styled
def approach(ensemble: FinishedEnsemble, continued: Mapping[str, ContinuedMember]) -> Figure:
    """Change of the mean temperature of each range of depth since the first year."""
    ranges = {
        name: z for name, z in depth_ranges(ensemble.grid.depth).items() if name != ALL_DEPTHS
    }
    figure, axes = new_figure(1, len(ranges), panel=(2.6, 3.0))
    volume = ensemble.grid.volume.sum(axis=(1, 2))
    for ax, (name, levels) in zip(axes[0], ranges.items(), strict=True):
        for member in ensemble.planned:
            record = continued.get(member.name, ensemble.members[member.name]).yearly
            mean = np.average(record["temperature"][:, levels], weights=volume[levels], axis=1)
            colour = PART_COLOURS[ensemble.part(member)]
            ax.plot(record["year"], mean - mean[0], color=colour, linewidth=0.9)
        ax.set_title(name)
        ax.set_xlabel("age [years]")
    axes[0, 0].set_ylabel("change of mean T [K]")
    _legend(figure, [ensemble.part(member) for member in ensemble.planned])
    return figure


@styled
def trends_by_level(ensemble: FinishedEnsemble) -> Figure:
    """Trend of each member's level means by depth, and their rms over members."""
    figure, axes = new_figure(1, len(TRENDS), panel=(3.8, 4.0))
    volume = ensemble.grid.volume.sum(axis=(1, 2))
    certificates = {
        name: Certificate.of(member.yearly, volume) for name, member in ensemble.members.items()
    }
    for ax, (field, label) in zip(axes[0], TRENDS.items(), strict=True):
        for member in ensemble.planned:
            trend = getattr(certificates[member.name], field)
            colour = PART_COLOURS[ensemble.part(member)]
            ax.plot(trend, ensemble.grid.depth, color=colour, linewidth=0.9)
        everyone = np.stack([getattr(one, field) for one in certificates.values()])
        rms = np.sqrt((everyone**2).mean(axis=0))
        for side in (-rms, rms):
            ax.plot(side, ensemble.grid.depth, color="0.6", linewidth=3, zorder=0)
        ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.set_xlabel(label)
        stretch_depth(ax, ensemble.grid)
    axes[0, 0].set_ylabel("depth [m]")
    parts = [ensemble.part(member) for member in ensemble.planned]
    _legend(figure, parts, other=Line2D([], [], color="0.6", linewidth=3, label="± rms"))
    return figure


@styled
def last_steps(ensemble: FinishedEnsemble) -> Figure:
    """Change of T in the thermocline between the last two records, of the two extreme members."""
    grid, members = ensemble.grid, ensemble.members
    level = int(np.abs(grid.depth - OSCILLATION_DEPTH).argmin())
    extremes = [pick(members, key=lambda name: members[name].oscillation) for pick in (min, max)]
    limit = max(float(np.abs(members[name].last_step[level]).max()) for name in extremes)
    figure, axes = new_figure(1, len(extremes), panel=(2.6, 4.0))
    for ax, name in zip(axes[0], extremes, strict=True):
        step = np.where(grid.wet[level], members[name].last_step[level], np.nan)
        mesh = ax.pcolormesh(
            grid.longitude, grid.latitude, step, cmap="RdBu_r", vmin=-limit, vmax=limit
        )
        ax.set_title(f"{name}: {members[name].oscillation:.2f} K")
        ax.set_xlabel("longitude")
    axes[0, 0].set_ylabel("latitude")
    label = f"change of T at {grid.depth[level]:.0f} m [K]"
    figure.colorbar(mesh, ax=list(axes[0]), label=label)
    return figure


def _design_panel(ax: Axes, ensemble: FinishedEnsemble, *, x: str, y: str) -> None:
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(y, y))
    _scale_axis(ax, ensemble.settings.ranges[x], x, axis="x")
    _scale_axis(ax, ensemble.settings.ranges[y], y, axis="y")
    for member in ensemble.settings.recorded:
        _mark(ax, ensemble, member, x=x, y=y)


def _scale_axis(ax: Axes, limits: ParameterRange, name: str, *, axis: Literal["x", "y"]) -> None:
    """Ticks at the ends and in the middle of the range, which is shaded."""
    ticks = [limits.value(position) for position in (0.0, 0.5, 1.0)]
    labels = [format_value(SCALES.get(name, 1) * tick) for tick in ticks]
    ax.set(**{f"{axis}scale": limits.scale})
    ax.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": labels})
    ax.minorticks_off()
    shade = ax.axvspan if axis == "x" else ax.axhspan
    shade(limits.low, limits.high, color="0.5", alpha=0.08, linewidth=0, zorder=0)


def _mark(ax: Axes, ensemble: FinishedEnsemble, member: PlannedMember, *, x: str, y: str) -> None:
    """One member; a replicate is a ring around its original."""
    part = ensemble.part(member)
    place = (getattr(member.parameters, x), getattr(member.parameters, y))
    colour = PART_COLOURS[part]
    hollow = part == REPLICATE or member.name not in ensemble.members
    ax.plot(
        *place,
        marker="o",
        markersize=9 if part == REPLICATE else 5,
        color=colour,
        markerfacecolor="none" if hollow else colour,
    )


def _legend(
    figure: Figure, parts: Sequence[str], *, marker: str = "", other: Line2D | None = None
) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="" if marker else "-", label=part)
        for part, colour in PART_COLOURS.items()
        if part in parts
    ]
    handles += [other] if other else []
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
