"""Figures of a study of guidance: stability, diversity, cost, and distributions by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from data.salinity import SALINITY_UNIT
from evaluation.canvas import new_figure, styled
from studies.autoencoder.figures import MARKERS, Look, draw_profiles, looks

AXES = {  # quantities against which the density error is drawn
    "variance_ratio_surface_temperature": "variance of surface T, generated / truth",
    "variance_ratio_surface_salinity": "variance of surface S, generated / truth",
    "mixed_layer_depth_mean_m": "mean mixed-layer depth [m]",
}
ACCURACY = {
    "density_error_percent": "density error [%]",
    "w1_temperature_K": "W₁ of T [K]",
    "variance_ratio_surface_temperature": "variance of surface T, generated / truth",
}
W1_UNITS = {"temperature": "K", "salinity": SALINITY_UNIT}
SMALLEST_ERROR = 1e-4  # %; drawn for an error of 0 on the logarithmic axis
Points = Sequence[Mapping[str, Any]]


@styled
def trade_off(study: Mapping[str, Any]) -> Figure:
    """Density error against surface variance and mixed-layer depth, a curve for each method.

    study: content of `study_SPLIT.json`. Bars are standard deviations over seeds, marker areas the
    cost of a state, and the star is the truth.
    """
    spaces = list(study["truth"])
    figure, axes = new_figure(len(spaces), len(AXES), panel=(3.8, 3.6))
    shown = looks(list(study["methods"]))
    for space, row in zip(spaces, axes, strict=True):
        points = [point for point in study["points"].values() if point["space"] == space]
        truth = study["truth"][space]
        cheapest = min(point["seconds_per_member"][0] for point in points)
        for ax, x in zip(row, AXES, strict=True):
            _panel(ax, points, truth, x=x, looks=shown, cheapest=cheapest)
            ax.set_title(space.replace("_", " "))
    _legend(figure, axes, study["methods"])
    return figure


@styled
def w1_by_level(study: Mapping[str, Any]) -> Figure:
    """Wasserstein-1 distance of T and S to the truth by depth, for one strength of each method.

    study: content of `study_SPLIT.json`, which selects the strength; default: the middle one.
    """
    spaces = list(study["truth"])
    figure, axes = new_figure(len(spaces), len(W1_UNITS), panel=(4.2, 4.0))
    for space, row in zip(spaces, axes, strict=True):
        for ax, (variable, units) in zip(row, W1_UNITS.items(), strict=True):
            _profiles(ax, study, space=space, variable=variable)
            ax.set_title(space.replace("_", " "))
            ax.set_xlabel(f"W₁ of {variable} [{units}]")
        row[0].set_ylabel("depth [m]")
    _legend(figure, axes, study["methods"])
    return figure


@styled
def accuracy_against_cost(study: Mapping[str, Any]) -> Figure:
    """Accuracy of states against their processor time.

    study: content of `study_SPLIT.json`. Colours are spaces, markers are methods, and the line is
    the value of the truth.
    """
    figure, axes = new_figure(1, len(ACCURACY), panel=(3.8, 3.6))
    spaces = looks(list(study["truth"]))
    markers = dict(zip(study["methods"], cycle(MARKERS), strict=False))
    for ax, (quantity, title) in zip(axes[0], ACCURACY.items(), strict=True):
        for point in study["points"].values():
            look = spaces[point["space"]]
            ax.errorbar(
                point["seconds_per_member"][0],
                max(point["as drawn"][quantity][0], SMALLEST_ERROR),
                yerr=point["as drawn"][quantity][1] or 0,
                color=look.colour,
                marker=markers[point["method"]],
                markersize=5,
                alpha=0.8,
            )
        truth = next(iter(study["truth"].values()))[quantity]
        if truth:
            ax.axhline(truth, color="black", linewidth=0.8)
        ax.set_xscale("log")
        ax.set_yscale("log" if quantity == "density_error_percent" else "linear")
        ax.set_xlabel("processor time per state [s]")
        ax.set_ylabel(title)
    _keys(figure, study["methods"], markers, spaces)
    return figure


def _keys(
    figure: Figure,
    titles: Mapping[str, str],
    markers: Mapping[str, str],
    spaces: Mapping[str, Look],
) -> None:
    """Legend of colours and markers below the panels."""
    colours = [
        Line2D([], [], color=look.colour, label=space.replace("_", " "))
        for space, look in spaces.items()
    ]
    methods = [
        Line2D([], [], color="grey", marker=marker, linestyle="", label=titles[name])
        for name, marker in markers.items()
    ]
    handles = [*colours, *methods]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")


def _profiles(ax: Axes, study: Mapping[str, Any], *, space: str, variable: str) -> None:
    """A curve for each method in the space."""
    curves = {}
    for method in study["methods"]:
        points = [
            point
            for point in study["points"].values()
            if (point["space"], point["method"]) == (space, method)
        ]
        shown = study.get("shown", {}).get(space, {}).get(method)
        points = [point for point in points if shown in (None, point["label"])]
        if points:
            curves[method] = points[len(points) // 2]["w1_profiles"][variable]
    draw_profiles(ax, curves, study["depth_m"][space], shown=looks(list(study["methods"])))


def _legend(figure: Figure, axes: NDArray[Any], titles: Mapping[str, str]) -> None:
    """Legend of all methods below the panels, by title or else by label."""
    drawn = {
        label: handle
        for ax in axes[:, 0]
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    names = [titles.get(label, label) for label in drawn]
    figure.legend(drawn.values(), names, loc="outside lower center", ncols=2, fontsize="small")


def _panel(
    ax: Axes,
    points: Points,
    truth: Mapping[str, float],
    *,
    x: str,
    looks: Mapping[str, Look],
    cheapest: float,
) -> None:
    for method, look in looks.items():
        curve = [point for point in points if point["method"] == method]
        if curve and all(point["as drawn"][x][0] is not None for point in curve):
            sizes = [30 * point["seconds_per_member"][0] / cheapest for point in curve]
            _curve(ax, curve, x=x, look=look, label=method, sizes=sizes)
    ax.scatter(
        truth[x],
        max(truth["density_error_percent"], SMALLEST_ERROR),
        marker="*",
        s=150,
        color="black",
        label="truth",
        zorder=5,
    )
    ax.set_yscale("log")
    ax.set_ylabel("density error [%]")
    ax.set_xlabel(AXES[x])


def _curve(
    ax: Axes, curve: Points, *, x: str, look: Look, label: str, sizes: Sequence[float]
) -> None:
    """The points of a method, joined, with bars for the spread over seeds."""
    values = [point["as drawn"][x] for point in curve]
    errors = [point["as drawn"]["density_error_percent"] for point in curve]
    at = [value[0] for value in values], [max(error[0], SMALLEST_ERROR) for error in errors]
    bars = [value[1] or 0 for value in values], [error[1] or 0 for error in errors]
    ax.plot(*at, color=look.colour, linewidth=1)
    ax.errorbar(*at, xerr=bars[0], yerr=bars[1], fmt="none", ecolor=look.colour, linewidth=0.8)
    ax.scatter(*at, s=sizes, color=look.colour, marker=look.marker, label=label, alpha=0.8)
