"""Figures of the equilibria predicted from the first years of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.salinity import SALINITY_UNIT
from evaluation.canvas import (
    ROW_COLOURS,
    TRUTH_COLOUR,
    Scale,
    draw_map,
    map_panel,
    new_figure,
    save_figure,
    stretch_depth,
    styled,
)
from studies.partial.report import PartialStudy
from studies.partial.rows import (
    COMPONENTS,
    OURS,
    PARAMETERS_ALONE,
    REGRESSION,
    START_AND_CHANGE,
    STAYING,
)
from studies.partial.tables import TEST, TRAINING, all_depths

FloatArray = NDArray[np.float64]
COLOURS = {
    STAYING: TRUTH_COLOUR,
    PARAMETERS_ALONE: ROW_COLOURS[0],
    START_AND_CHANGE: ROW_COLOURS[5],
    COMPONENTS: ROW_COLOURS[2],
    REGRESSION: ROW_COLOURS[3],
    OURS: ROW_COLOURS[1],
}
DRAWN_YEAR = 10  # after which the members are drawn; the last year if there is none
MAP_DEPTHS = (500.0, 1500.0)  # m
FIELDS = {"T [K]": 0, f"S [{SALINITY_UNIT}]": 1}


def save_partial_figures(study: PartialStudy, content: Mapping[str, Any], directory: Path) -> None:
    """Save the figures as partial_NAME.png in `directory`.

    content: see `report`. Profiles and maps need a finished test member.
    """
    save_figure(errors_by_year(content), directory / "partial_years.png")
    if study.courses.names(TEST):
        save_figure(error_profiles(study), directory / "partial_profiles.png")
        save_figure(change_maps(study), directory / "partial_maps.png")


@styled
def errors_by_year(content: Mapping[str, Any]) -> Figure:
    """Median error of T against the years of running, of training and of test members."""
    parts = {TRAINING: "training members, each left out", TEST: "test members"}
    finished = {part: title for part, title in parts.items() if content["parts"][part]}
    figure, axes = new_figure(1, len(finished), panel=(3.4, 3.0))
    for ax, (part, title) in zip(axes[0], finished.items(), strict=True):
        for row, colour in COLOURS.items():
            by_year = [all_depths(rows[row][part]) for rows in content["errors"].values()]
            errors = [float(np.median(one)) for one in by_year]
            ax.plot(content["years"], errors, color=colour, marker="o", label=row)
        ax.set(title=title, xlabel="years of running", xticks=content["years"])
    highest = max(ax.get_ylim()[1] for ax in axes[0])
    for ax in axes[0]:
        ax.set_ylim(0, highest)
    axes[0, 0].set_ylabel("error of T, all depths [K]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


@styled
def error_profiles(study: PartialStudy) -> Figure:
    """Rms error by level of T and S of each test member after 10 years."""
    names = study.courses.names(TEST)
    grid, year = study.courses.grid, _drawn_year(study)
    volume = grid.volume.sum(axis=(1, 2))
    figure, axes = new_figure(2, len(names), panel=(2.3, 2.8))
    for row, colour in COLOURS.items():
        for column, error in enumerate(_test_errors(study, row, year)):
            square = (error**2 * grid.volume).sum(axis=(2, 3)) / volume
            for field in FIELDS.values():
                ax = axes[field, column]
                ax.plot(np.sqrt(square[field]), grid.depth, color=colour, label=row)
    for (label, field), line in zip(FIELDS.items(), axes, strict=True):
        for ax, name in zip(line, names, strict=True):
            stretch_depth(ax, grid)
            ax.set(xlabel=f"rms error of {label}", title=name if field == 0 else "")
            ax.set_xlim(0, None)
        line[0].set_ylabel("depth [m]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


@styled
def change_maps(study: PartialStudy) -> Figure:
    """True and predicted remaining change of T of a test member at two depths.

    The member with the largest remaining change shows most.
    """
    grid, year = study.courses.grid, _drawn_year(study)
    names = study.courses.names(TEST)
    truth = -_test_errors(study, STAYING, year)
    largest = int(np.abs(truth[:, 0]).mean(axis=(1, 2, 3)).argmax())
    errors = {row: _test_errors(study, row, year)[largest, 0] for row in (PARAMETERS_ALONE, OURS)}
    panels = {
        "model": truth[largest, 0],
        **{row: truth[largest, 0] + error for row, error in errors.items()},
    }
    width, height = map_panel(grid, area=5.0)
    figure, axes = new_figure(len(MAP_DEPTHS), len(panels), panel=(width, height))
    for line, depth in zip(axes, MAP_DEPTHS, strict=True):
        level = int(np.abs(grid.depth - depth).argmin())
        at_level = [np.where(grid.wet[level], field[level], np.nan) for field in panels.values()]
        scale = Scale.symmetric(at_level)
        for ax, name, field in zip(line, panels, at_level, strict=True):
            mesh = draw_map(ax, grid, field, scale)
            ax.set_title(f"{name}\n{grid.depth[level]:.0f} m", fontsize=8)
        figure.colorbar(mesh, ax=line, label="change of T [K]", shrink=0.8)
    figure.suptitle(f"{names[largest]}: from year {year} to the equilibrium")
    return figure


def _test_errors(study: PartialStudy, row: str, year: int) -> FloatArray:
    """Errors `m 2 z y x` of a row for the test members."""
    names = study.courses.names(TEST)
    truth = np.stack([study.courses.members[name].equilibrium for name in names])
    predicted = study.space.fields(study.predicted(row, TEST, year))
    return predicted - truth


def _drawn_year(study: PartialStudy) -> int:
    return DRAWN_YEAR if DRAWN_YEAR in study.years else study.years[-1]
