"""Figures that compare autoencoders, and maps of a single reconstruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from data.grid import OceanGrid
from data.state import State
from evaluation.canvas import (
    ROW_COLOURS,
    Scale,
    draw_map,
    map_panel,
    new_figure,
    stretch_to,
    styled,
)
from evaluation.metrics.spectra import THERMOCLINE_CENTRE
from evaluation.reconstruction import Decoded

Metrics = Mapping[str, Mapping[str, Any]]  # by variant
RMSE = {
    "rmse_temperature_percent_of_total_std": "RMSE of T [% of the level's std]",
    "rmse_salinity_percent_of_total_std": "RMSE of S [% of the level's std]",
}
COST = "decode_vjp_gflops"
LETTER, LINE = 0.019, 0.034  # width of a letter and height of a name, in fractions of the axes
LEGEND_ROWS = 18
# Twelve colours in all: as many as can be told apart, with the six of the rows first.
COLOURS = (*ROW_COLOURS, "#7F7F7F", "#882255", "#332288", "#999933", "#8C564B", "#B2DF8A")
MARKERS = "os^DvPX<>dph"
OTHERS_COLOUR = "0.55"
TARGET = 0.9  # target ratio of power, reconstruction / truth


class Look(NamedTuple):
    """Colour, line style and marker of a variant in all figures."""

    colour: str
    line: str
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """The look of each variant: up to 12 differ in colour and marker, up to 48 in the line, too."""
    kinds = product(("-", "--", ":", "-."), zip(COLOURS, MARKERS, strict=True))
    distinct = [Look(colour, line, marker) for line, (colour, marker) in kinds]
    return {name: distinct[index % len(distinct)] for index, name in enumerate(names)}


@styled
def frontier(variants: Metrics) -> Figure:
    """Reconstruction error against compression and against the cost of a decoding's gradient.

    Variants that stand apart have their name beside them; the first one is in colour.
    """
    panels = [*product(("compression",), RMSE), (COST, next(iter(RMSE)))]
    figure, axes = new_figure(1, len(panels), panel=(3.4, 3.3))
    for ax, (x, y) in zip(axes[0], panels, strict=True):
        _points(ax, variants, x, y)
        ax.set_ylabel(RMSE[y])
    for ax in axes[0, :-1]:
        ax.set_xlabel("compression (wet-cell values / latent values)")
    axes[0, -1].set_xlabel("decoding and its gradient [GFLOP]")
    figure.suptitle("Reconstruction error, compression and cost")
    return figure


@styled
def spectra_ratios(spectra: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Figure:
    """Power of T, reconstruction / truth, by wavenumber: at the surface and near 400 m.

    spectra: by variant the result of `evaluation.reconstruction.reconstruction_spectra`. Thin
    lines separate the thirds of the wavenumbers.
    """
    figure, axes = new_figure(1, 2, panel=(4.2, 3.4))
    for ax, place in zip(axes[0], ("surface", "thermocline"), strict=True):
        for name, look in looks(list(spectra)).items():
            levels = spectra[name][place]
            if levels:
                _ratio_line(ax, _nearest(levels), look, name)
        ax.axhline(1, color="black", linewidth=0.8)
        ax.axhline(TARGET, color="0.6", linewidth=0.8, linestyle="--")
        ax.set_yscale("log")
        ax.set_ylim(0.02, 50)
        ax.set_xlabel("wavenumber [cycles per grid cell]")
        ax.label_outer()
    axes[0, 0].set_ylabel("power of T, reconstruction / truth")
    _legend(figure, axes[0, 0])
    figure.suptitle("Zonal spectra of reconstructions")
    return figure


@styled
def rmse_profiles(profiles: Mapping[str, Mapping[str, Any]], depth: Sequence[float]) -> Figure:
    """RMSE of each level in percent of its total standard deviation, by variant; `depth` [m]."""
    figure, axes = new_figure(1, 2, panel=(3.4, 4.0))
    for ax, variable in zip(axes[0], ("temperature", "salinity"), strict=True):
        curves = {name: profile[variable] for name, profile in profiles.items()}
        draw_profiles(ax, curves, depth, shown=looks(list(profiles)))
        ax.set_title(variable)
        ax.set_xlabel("RMSE [% of the level's std]")
        ax.label_outer()
    axes[0, 0].set_ylabel("depth [m]")
    _legend(figure, axes[0, 0])
    figure.suptitle("Reconstruction error by level")
    return figure


def draw_profiles(
    ax: Axes,
    profiles: Mapping[str, ArrayLike],
    depth: Sequence[float],
    *,
    shown: Mapping[str, Look],
) -> None:
    """Draw `profiles` `z` against `depth` `z` [m], with the looks in `shown`."""
    for name, values in profiles.items():
        look = shown[name]
        ax.plot(
            np.asarray(values, dtype=float),
            depth,
            label=name,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=3,
            linewidth=1.1,
        )
    ax.set_xlim(left=0)
    stretch_to(ax, depth[-1])


@styled
def reconstruction_maps(decoded: Decoded, grid: OceanGrid, *, state: int = 0) -> Figure:
    """One held-out state, its reconstruction and their difference: T at the surface and 400 m."""
    levels = [0, int(np.abs(grid.depth - THERMOCLINE_CENTRE).argmin())]
    figure, axes = new_figure(2, 3, panel=map_panel(grid), layout="compressed")
    for line, level in zip(axes, levels, strict=True):
        pair = [
            _temperature(each, grid, state, level)
            for each in (decoded.truth, decoded.reconstruction)
        ]
        difference = pair[1] - pair[0]
        scales = (Scale.spanning(pair[:1], "temperature"), Scale.symmetric([difference]))
        for ax, field in zip(line[:2], pair, strict=True):
            mesh = draw_map(ax, grid, field, scales[0])
        figure.colorbar(mesh, ax=list(line[:2]), label="T [°C]", extend="both", shrink=0.8)
        mesh = draw_map(line[2], grid, difference, scales[1])
        figure.colorbar(mesh, ax=line[2], label="[K]", extend="both", shrink=0.8)
        titles = ("truth", "reconstruction", "reconstruction − truth")
        for ax, title in zip(line, titles, strict=True):
            ax.set_title(f"{title}, {grid.depth[level]:.0f} m")
    return figure


def _points(ax: Axes, variants: Metrics, x: str, y: str) -> None:
    """One point for each variant with both metrics, named where there is room beside it."""
    for axis, key in (("x", x), ("y", y)):
        _logarithmic(ax, axis, [row.get(key) for row in variants.values()])
    found = {
        name: np.array([row.get(x), row.get(y)], dtype=float) for name, row in variants.items()
    }
    places = {name: place for name, place in found.items() if np.isfinite(place).all()}
    to_axes = ax.transData - ax.transAxes
    points = [to_axes.transform(place) for place in places.values()]
    taken: list[Box] = []
    for number, (name, place) in enumerate(places.items()):
        colour, order = (OTHERS_COLOUR, 2) if number else (COLOURS[0], 3)
        ax.plot(*place, "o", color=colour, markersize=5, zorder=order)
        for left in (False, True):
            box = _beside(points[number], name, left=left)
            if _is_free(box, points, taken):
                taken.append(box)
                _name(ax, name, (place[0], place[1]), left=left)
                break


class Box(NamedTuple):
    """A rectangle in fractions of the axes."""

    left: float
    right: float
    bottom: float
    top: float


def _beside(point: NDArray[np.float64], name: str, *, left: bool) -> Box:
    """Where the name of a point would be."""
    near, far = LETTER, LETTER * (len(name) + 1)
    span = (point[0] - far, point[0] - near) if left else (point[0] + near, point[0] + far)
    return Box(*span, point[1] - LINE / 2, point[1] + LINE / 2)


def _is_free(box: Box, points: Sequence[NDArray[np.float64]], taken: Sequence[Box]) -> bool:
    """Whether a box is within the axes, and neither a point nor another box is in it."""
    if box.left < 0 or box.right > 1:
        return False
    hit = any(box.left < x < box.right and box.bottom < y < box.top for x, y in points)
    return not hit and not any(
        box.left < other.right
        and other.left < box.right
        and box.bottom < other.top
        and other.bottom < box.top
        for other in taken
    )


def _name(ax: Axes, name: str, place: tuple[float, float], *, left: bool) -> None:
    """A name beside a point, to the left of it or to the right."""
    ax.annotate(
        name.replace("_", " "),
        place,
        textcoords="offset points",
        xytext=(-5 if left else 5, 0),
        ha="right" if left else "left",
        va="center",
        fontsize=7,
    )


def _logarithmic(ax: Axes, axis: str, values: Sequence[float | None]) -> None:
    """A logarithmic axis with plain numbers at powers of 2."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return
    getattr(ax, f"set_{axis}scale")("log", base=2)
    getattr(ax, f"set_{axis}lim")(min(known) / 1.5, 1.5 * max(known))
    getattr(ax, f"{axis}axis").set_major_formatter("{x:.3g}")


def _legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    columns = -(-len(labels) // LEGEND_ROWS)
    figure.legend(handles, labels, loc="outside right center", fontsize=7, ncols=columns)


def _nearest(levels: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The level nearest to 400 m, or the only one at the surface."""
    return min(levels, key=lambda level: abs(level["depth_m"] - THERMOCLINE_CENTRE))


def _ratio_line(ax: Axes, level: Mapping[str, Any], look: Look, name: str) -> None:
    wavenumber = np.array(level["wavenumber_cycles_per_cell"])
    truth = np.array(level["power_truth_K2"])
    ratio = np.array(level["power_reconstruction_K2"]) / np.where(truth > 0, truth, np.nan)
    ax.plot(wavenumber, ratio, color=look.colour, linestyle=look.line, label=name, linewidth=1.2)
    count = len(wavenumber)
    for third in (1, 2):
        first = -(-third * count // 3)
        middle = 0.5 * (wavenumber[first - 1] + wavenumber[first])
        ax.axvline(middle, color="0.8", linewidth=0.6, zorder=0)
    ax.set_title(f"{level['depth_m']:.0f} m")


def _temperature(state: State, grid: OceanGrid, index: int, level: int) -> NDArray[np.float64]:
    return np.where(grid.wet[level], state.temperature[index, level].double().numpy(), np.nan)
