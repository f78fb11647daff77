"""Figures of a spin-up study: the truth in black, other labels in colours.

Lines are medians over members, and bands are their 5-95 % range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.grid import OceanGrid
from data.salinity import SALINITY_UNIT
from evaluation.canvas import (
    LAND,
    ROW_COLOURS,
    TRUTH_COLOUR,
    Scale,
    label_outer,
    new_figure,
    row_coordinate,
    save_figure,
    stretch_to,
    styled,
)
from integration.drift import FIELDS, FIRST, HIGH, LOW, annual, distance, level_drift, rates
from integration.integrate import TRUTH
from integration.member_run import MemberRun

if TYPE_CHECKING:
    from studies.spinup.analysis import Analysis

FloatArray = NDArray[np.float64]
UNITS = {"temperature": ("T", "K"), "salinity": ("S", SALINITY_UNIT)}
SECTION_YEARS = 5  # averaging period of the overturning
MOST_STATES = 1000
IN_A_ROW = 3  # panels
TIME = {  # series: title, factor
    "kinetic_energy": ("kinetic energy [cm² s⁻²]", 1e4),
    "northern_overturning": ("northern overturning [Sv]", 1.0),
    "channel_transport": ("channel transport [Sv]", 1.0),
    "gyre_strength": ("subtropical gyre [Sv]", 1.0),
}
FIRST_YEAR = {
    "kinetic_energy": ("kinetic energy [cm² s⁻²]", 1e4),
    "mixed_layer_mean": ("mixed layer, mean [m]", 1.0),
    "mixed_layer_p90": ("mixed layer, 90th percentile [m]", 1.0),
    "deep_mixing_percent": ("mixed below 500 m [% of area]", 1.0),
    "overturning_columns_percent": ("unstable columns [%]", 1.0),
    "density_error_percent": ("density error [%]", 1.0),
}


def save_spinup_figures(
    analysis: Analysis, grid: OceanGrid, accounts: Mapping[str, Mapping[str, Any]], directory: Path
) -> None:
    """Save the figures as spinup_NAME.png in `directory`.

    Runs are drawn if the truth and another label have finished members.
    """
    figures: dict[str, Callable[[], Figure]] = {"cost": lambda: costs(accounts)}
    if TRUTH in analysis.result.labels and len(analysis.compared(analysis.lengths[0])) > 1:
        figures |= {
            "levels": lambda: level_drifts(analysis),
            "time": lambda: through_time(analysis),
            "first_year": lambda: first_year(analysis),
            "overturning": lambda: overturning_sections(analysis, grid),
            "settling": lambda: settling(analysis),
        }
    for name, draw in figures.items():
        save_figure(draw(), directory / f"spinup_{name}.png")


@styled
def level_drifts(analysis: Analysis) -> Figure:
    """Drift of T and S after the first year at each level, each label over the truth's range.

    Covers the length of the shortest label.
    """
    runs = analysis.compared(analysis.lengths[0])
    others = [label for label in runs if label != TRUTH]
    figure, axes = new_figure(2, len(others), panel=(2.3, 3.0))
    for line, field in zip(axes, FIELDS, strict=True):
        name, unit = UNITS[field]
        for ax, label in zip(line, others, strict=True):
            for shown in (TRUTH, label):
                _profile_band(ax, runs[shown], field, analysis.colours[shown], _name(shown))
            ax.axvline(0, color="0.6", linewidth=0.6)
            ax.set_title(_title(label, runs[label]))
            ax.set_xlabel(f"drift of {name} [{unit}]")
            stretch_to(ax, float(runs[TRUTH][0].thickness.sum()))
        for ax in line[1:]:
            ax.tick_params(labelleft=False)
        line[0].set_ylabel("depth [m]")
    figure.suptitle(
        f"Drift after the first year, {analysis.lengths[0]:g}-year runs "
        f"(black: {_title(TRUTH, runs[TRUTH])}; bands: 5-95 %)"
    )
    return figure


@styled
def through_time(analysis: Analysis) -> Figure:
    """Annual means: volume-mean T and S relative to the first year, and circulation."""
    figure, axes = new_figure(2, 3, panel=(3.6, 2.7))
    for label, colour in analysis.colours.items():
        runs = [run for run in analysis.result.of(label) if run.survived]
        lines: dict[str, list[FloatArray]] = {
            "volume-mean T − first year [K]": [
                _since_first(annual(run.time, run.mean_temperature)) for run in runs
            ],
            f"volume-mean S − first year [{SALINITY_UNIT}]": [
                _since_first(annual(run.time, run.mean_salinity)) for run in runs
            ],
            **{
                title: [factor * annual(run.time, run.series[key]) for run in runs]
                for key, (title, factor) in TIME.items()
            },
        }
        for ax, (title, values) in zip(axes.flat, lines.items(), strict=True):
            _band(ax, 0.5, values, colour, label, runs)
            ax.set_title(title)
            ax.set_xlabel("years after the start")
    axes[0, 0].legend(fontsize=7)
    figure.suptitle("Annual means")
    return figure


@styled
def first_year(analysis: Analysis) -> Figure:
    """Records of the first year, for the members common to all labels.

    Members of equal index start in the same season, so labels are comparable.
    """
    common = set.intersection(
        *({run.index for run in analysis.result.of(label)} for label in analysis.result.labels)
    )
    figure, axes = new_figure(2, 3, panel=(3.6, 2.7))
    for label, colour in analysis.colours.items():
        runs = [run for run in analysis.result.of(label) if run.survived and run.index in common]
        for ax, (key, (title, factor)) in zip(axes.flat, FIRST_YEAR.items(), strict=True):
            early = [run.until(1.0) for run in runs]
            values = [factor * run.series[key] for run in early]
            _band(ax, 0.0, values, colour, label, runs)
            ax.set_title(title)
            ax.set_xlabel("records, 30 days apart")
    for ax in axes.flat:
        ax.set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=7)
    figure.suptitle(f"First year, members {', '.join(map(str, sorted(common)))}")
    return figure


@styled
def overturning_sections(analysis: Analysis, grid: OceanGrid) -> Figure:
    """Mean overturning of the last years common to all labels."""
    years = int(analysis.lengths[0])
    first = max(years - SECTION_YEARS, 0)
    runs = {
        label: [run for run in members if run.survived]
        for label, members in analysis.compared(years).items()
    }
    sections = {
        label: np.mean([run.overturning[first:years] for run in members], (0, 1))
        for label, members in runs.items()
        if members
    }
    figure, axes = new_figure(-(-len(sections) // IN_A_ROW), IN_A_ROW, panel=(3.6, 2.4))
    scale = _overturning_scale(list(sections.values()), grid)
    for ax, (label, section) in zip(axes.flat, sections.items(), strict=False):
        mesh = _stream(ax, grid, section, scale)
        ax.set_title(_title(label, runs[label]))
    figure.colorbar(mesh, ax=list(axes.flat), label="[Sv]", extend="both")
    for ax in axes.flat[len(sections) :]:
        ax.set_axis_off()
    figure.suptitle(
        f"Eulerian overturning, years {first + 1} to {years} (positive: north above, south below)"
    )
    return figure


@styled
def settling(analysis: Analysis) -> Figure:
    """Rates of change with the limit from the truth, and distance to the truth, against time."""
    figure, axes = new_figure(2, 2, panel=(4.6, 2.8))
    window, criterion = next(iter(analysis.criteria.items()))
    for column, field in enumerate(FIELDS):
        name, unit = UNITS[field]
        for label, colour in analysis.colours.items():
            runs = [run for run in analysis.result.of(label) if run.survived]
            _rates(axes[0, column], runs, field, window, colour, label)
            for run in analysis.long(label):
                _rates(axes[0, column], [run], field, window, colour, None)
            _distances(axes[1, column], runs, analysis, field, colour, label)
            for run in analysis.long(label):
                _distances(axes[1, column], [run], analysis, field, colour, None)
        if criterion.known:
            axes[0, column].axhline(criterion.limits[field], color="black", linestyle=":")
        axes[0, column].set_title(f"rate of {name} over {window} years [{unit}/year]")
        axes[1, column].set_title(f"rms difference in {name} from the truth [{unit}]")
        for ax in axes[:, column]:
            ax.set_yscale("log")
            ax.set_xlabel("years after the start")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    figure.suptitle("Adjustment to equilibrium (dotted: 95th percentile of the truth)")
    return figure


@styled
def costs(accounts: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Processor hours against the number of equilibrated states, by spin-up and generation."""
    columns = min(len(accounts), IN_A_ROW)
    figure, axes = new_figure(-(-len(accounts) // columns), columns, panel=(2.9, 3.0))
    states = np.geomspace(1, MOST_STATES, 100)
    for ax in axes.flat[len(accounts) :]:
        ax.set_axis_off()
    for ax, (name, account) in zip(axes.flat, accounts.items(), strict=False):
        generated = states * account["generated_seconds"]
        training, data = account["training_seconds"], account["data_seconds"]
        lines = {
            _cold_name(account): (states * account["cold_seconds"], TRUTH_COLOUR, "-"),
            "generated": (generated, ROW_COLOURS[0], "-"),
            "generated, with training": (generated + training, ROW_COLOURS[0], "--"),
            "generated, with training and data": (generated + training + data, ROW_COLOURS[0], ":"),
        }
        for label, (seconds, colour, style) in lines.items():
            ax.loglog(states, seconds / 3600, color=colour, linestyle=style, label=label)
        ax.set_title(name.replace(", ", ",\n"))
        ax.set_xlabel("number of equilibrated states")
    for ax in axes[:, 0]:
        ax.set_ylabel("processor time [hours]")
    axes[0, 0].legend(fontsize=7)
    figure.suptitle("Cost of equilibrated states")
    return figure


def _cold_name(account: Mapping[str, Any]) -> str:
    return "cold start" if account["cold_settled"] else "cold start (lower bound)"


def _profile_band(ax: Axes, runs: Sequence[MemberRun], field: str, colour: str, label: str) -> None:
    survived = [run for run in runs if run.survived]
    if not survived:
        return
    wet = survived[0].level_volume > 0
    drifts = np.array([level_drift(run, field)[wet] for run in survived])
    low, middle, high = np.percentile(drifts, [LOW, 50, HIGH], axis=0)
    depth = survived[0].depth[wet]
    ax.fill_betweenx(depth, low, high, color=colour, alpha=0.25, linewidth=0)
    ax.plot(middle, depth, color=colour, label=label, linewidth=1.3)


def _band(
    ax: Axes,
    first: float,
    lines: Sequence[FloatArray],
    colour: str,
    label: str | None,
    runs: Sequence[MemberRun],
) -> None:
    """Median and range of lines of equal length at times `first`, `first` + 1, ..."""
    if not lines:
        return
    time = first + np.arange(len(lines[0]))
    low, middle, high = np.percentile(np.array(lines), [LOW, 50, HIGH], axis=0)
    if len(lines) > 1:
        ax.fill_between(time, low, high, color=colour, alpha=0.15, linewidth=0)
    name = _title(label, runs) if label else None
    ax.plot(time, middle, color=colour, linewidth=1.3, label=name)


def _rates(
    ax: Axes, runs: Sequence[MemberRun], field: str, window: int, colour: str, label: str | None
) -> None:
    lines = [rates(run, field, window=window) for run in runs]
    lines = [line for line in lines if line.size]
    _band(ax, FIRST + 0.5 * window, lines, colour, label, runs)


def _distances(
    ax: Axes,
    runs: Sequence[MemberRun],
    analysis: Analysis,
    field: str,
    colour: str,
    label: str | None,
) -> None:
    lines = [
        distance(run, analysis.truth[run.index], field)
        for run in runs
        if run.label != TRUTH and run.index in analysis.truth
    ]
    if lines:
        years = min(len(line) for line in lines)
        lines = [line[:years] for line in lines]
        _band(ax, 0.5, lines, colour, label, runs)


def _stream(ax: Axes, grid: OceanGrid, section: FloatArray, scale: Scale) -> QuadMesh:
    """Draw a stream function `z y` at the base of each level and the northern faces."""
    latitude = row_coordinate(grid)
    wet = grid.wet.any(axis=2)
    mesh = ax.pcolormesh(
        latitude,
        grid.faces[1:],
        np.where(wet, section, np.nan),
        cmap=scale.colours,
        norm=scale.norm,
        shading="nearest",
    )
    step = max(2.0, round(scale.high / 6))
    values = np.arange(-10 * step, 10.5 * step, step)
    ax.contour(latitude, grid.faces[1:], section, values, colors="black", linewidths=0.4)
    ax.set_facecolor(LAND)
    stretch_to(ax, float(grid.faces[-1]))
    label_outer(ax, "latitude [°N]", "depth [m]")
    return mesh


def _overturning_scale(sections: list[FloatArray], grid: OceanGrid) -> Scale:
    """Colours scaled to the overturning below the shallow wind-driven cells."""
    below = [section[grid.faces[1:] > 300.0] for section in sections]
    return Scale.symmetric(below)


def _since_first(means: FloatArray) -> FloatArray:
    return means - means[0]


def _name(label: str) -> str:
    return label.replace("_", " ")


def _title(label: str, runs: Sequence[MemberRun]) -> str:
    return f"{_name(label)} ({len(runs)})"
