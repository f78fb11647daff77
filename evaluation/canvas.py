"""Drawing primitives for all figures: maps, depth sections, axes and colour scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from torch import Tensor

from data.atomic import atomic_write
from data.grid import OceanGrid
from data.salinity import Salinity

try:
    import cmocean
except ImportError:  # optional
    cmocean = None

FloatArray = NDArray[np.float64]
Arguments = ParamSpec("Arguments")
Layout = Literal["constrained", "compressed"]
LAND = "0.78"
TRUTH_COLOUR = "black"
ROW_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "figure.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 110,
}
_MAPS = {  # quantity: cmocean colour map, matplotlib substitute
    "temperature": ("thermal", "inferno"),
    "salinity": ("haline", "viridis"),
    "density": ("dense", "PuBu"),
    "difference": ("balance", "RdBu_r"),
    "depth": ("deep", "YlGnBu"),
    "variance": ("amp", "Reds"),
    "volume": ("matter", "magma_r"),
}


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Apply `STYLE` while drawing, without changing the caller's matplotlib settings."""

    @wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


@dataclass(frozen=True)
class Scale:
    """Colour scale shared by panels: limits in physical units, colour map and isolines."""

    low: float
    high: float
    quantity: str
    isolines: tuple[float, ...] = ()

    @classmethod
    def spanning(cls, fields: list[FloatArray], quantity: str) -> Scale:
        """From the 0.5th to the 99.5th percentile of `fields`, which is robust to outliers."""
        values = np.concatenate([field[np.isfinite(field)] for field in fields])
        # The lightest few percent of the ocean would span half of the density range.
        low, high = np.percentile(values, [3.0 if quantity == "density" else 0.5, 99.5])
        high = max(high, low + 1e-9)
        return cls(float(low), float(high), quantity, _isolines(values, low, high, quantity))

    @classmethod
    def from_zero(cls, fields: list[FloatArray], quantity: str) -> Scale:
        """From 0, for non-negative quantities."""
        return cls(0.0, max(cls.spanning(fields, quantity).high, 1e-9), quantity)

    @classmethod
    def symmetric(cls, fields: list[FloatArray]) -> Scale:
        """Symmetric about 0, for differences; without isolines."""
        span = cls.spanning(fields, "difference")
        largest = max(abs(span.low), abs(span.high), 1e-9)
        return cls(-largest, largest, "difference")

    @property
    def colours(self) -> Colormap:
        """The colour map."""
        name, substitute = _MAPS[self.quantity]
        return getattr(cmocean.cm, name) if cmocean else matplotlib.colormaps[substitute]

    @property
    def norm(self) -> Normalize:
        """Linear, except for higher resolution of dense water and shallow mixed layers."""
        powers = {"density": 1.6, "depth": 0.5}
        return PowerNorm(powers.get(self.quantity, 1.0), self.low, self.high)


def _isolines(values: FloatArray, low: float, high: float, quantity: str) -> tuple[float, ...]:
    """Evenly spaced values; for density, rounded quantiles."""
    if quantity == "density":
        shares = np.quantile(values, np.linspace(0.03, 0.97, 10))
        return tuple(np.unique(shares.round(1 if high - low > 3 else 2)).tolist())
    return tuple(np.linspace(low, high, 11)[1:-1].tolist())


def new_figure(
    rows: int, columns: int, *, panel: tuple[float, float], layout: Layout = "constrained"
) -> tuple[Figure, NDArray[Any]]:
    """A figure without pyplot's global state, and its axes `rows columns`; `panel` in inches."""
    width, height = panel
    figure = Figure(figsize=(columns * width + 1.1, rows * height + 0.7), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False)


def map_panel(grid: OceanGrid, *, area: float = 6.5) -> tuple[float, float]:
    """Panel size [inches] with an area of about `area` square inches and the grid's aspect."""
    x, y = horizontal_coordinates(grid)
    shape = np.clip(np.ptp(x) / np.ptp(y), 0.4, 2.6)
    return float(np.sqrt(area * shape)) + 0.05, float(np.sqrt(area / shape)) + 0.35


def map_axes(count: int, grid: OceanGrid, *, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` maps: in one row if they are tall, else in `columns` columns."""
    columns = count if is_tall(grid) else min(columns, count)
    figure, axes = new_figure(
        -(-count // columns), columns, panel=map_panel(grid), layout="compressed"
    )
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def is_tall(grid: OceanGrid) -> bool:
    """Whether maps are tall enough to be arranged in a single row."""
    x, y = horizontal_coordinates(grid)
    return bool(np.ptp(x) < 0.75 * np.ptp(y))


def horizontal_coordinates(grid: OceanGrid) -> tuple[FloatArray, FloatArray]:
    """x and y of cell centres, both `y x`; longitudes without a jump at the date line."""
    x, y = np.asarray(grid.longitude, float), np.asarray(grid.latitude, float)
    if x.ndim == 1:
        x, y = np.meshgrid(x, y)
    if grid.horizontal_units == "degrees":
        x = np.unwrap(x, period=360.0, axis=1)
    return x, y


def row_coordinate(grid: OceanGrid) -> FloatArray:
    """Coordinate of each row, `y`; on a curvilinear grid the mean over wet columns."""
    _, y = horizontal_coordinates(grid)
    weights = np.where(grid.wet[0].any(axis=1, keepdims=True), grid.wet[0], True)
    return (y * weights).sum(axis=1) / weights.sum(axis=1)


def axis_labels(grid: OceanGrid) -> tuple[str, str]:
    """Axis labels of x and y with units."""
    if grid.horizontal_units == "degrees":
        return "longitude [°E]", "latitude [°N]"
    return f"x [{grid.horizontal_units}]", f"y [{grid.horizontal_units}]"


def meridian_name(grid: OceanGrid, column: int) -> str:
    """Longitude or x of a grid column, for titles."""
    if np.ndim(grid.longitude) == 1:
        unit = "°E" if grid.horizontal_units == "degrees" else f" {grid.horizontal_units}"
        return f"{grid.longitude[column]:.0f}{unit}"
    return f"grid column {column}"


def masked(field: Tensor, grid: OceanGrid) -> FloatArray:
    """A surface field `y x` as an array with NaN on land."""
    return np.where(grid.wet[0], field.double().numpy(), np.nan)


def draw_map(ax: Axes, grid: OceanGrid, field: FloatArray, scale: Scale) -> QuadMesh:
    """Draw a field `y x` as a map with grey land."""
    x, y = horizontal_coordinates(grid)
    sea = np.where(grid.wet[0], field, np.nan)
    mesh = ax.pcolormesh(x, y, sea, cmap=scale.colours, norm=scale.norm, shading="nearest")
    ax.set_facecolor(LAND)
    ax.set_aspect("equal", adjustable="box")
    _mark_degrees(ax, grid, "x", x)
    _mark_degrees(ax, grid, "y", y)
    label_outer(ax, *axis_labels(grid))
    return mesh


def draw_section(ax: Axes, grid: OceanGrid, field: FloatArray, scale: Scale) -> QuadMesh:
    """Draw a field `z y` as a section with isolines; land (NaN) is grey."""
    rows = row_coordinate(grid)
    mesh = ax.pcolormesh(_edges(rows), grid.faces, field, cmap=scale.colours, norm=scale.norm)
    if scale.isolines:
        lines = ax.contour(
            rows, grid.depth, field, scale.isolines, colors="black", linewidths=0.5, alpha=0.7
        )
        if scale.quantity == "density":
            ax.clabel(lines, fontsize=6)
    ax.set_facecolor(LAND)
    _mark_degrees(ax, grid, "x", rows)
    stretch_depth(ax, grid)
    label_outer(ax, axis_labels(grid)[1], "depth [m]")
    return mesh


def stretch_depth(ax: Axes, grid: OceanGrid) -> None:
    """Set a downward square-root depth axis, which enlarges the upper ocean."""
    stretch_to(ax, grid.faces[np.flatnonzero(grid.wet.any(axis=(1, 2)))[-1] + 1])


def stretch_to(ax: Axes, deepest: float) -> None:
    """Set a downward square-root depth axis to `deepest` [m]."""
    ax.set_yscale("function", functions=(_signed_root, _signed_square))
    ax.set_ylim(deepest, 0)
    ax.set_yticks(depth_ticks(deepest))
    ax.minorticks_off()


def depth_ticks(deepest: float) -> FloatArray:
    """Tick depths [m] for a square-root axis to `deepest`."""
    ticks = np.array([0, 100, 500, 1000, 2000, 3000, 4000, 5000, 6000], dtype=float)
    return ticks[ticks <= deepest] if deepest > 400 else np.linspace(0, deepest, 5).round()


def label_outer(ax: Axes, x: str, y: str) -> None:
    """Label axes and ticks on the outer panels only."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.label_outer()


def _mark_degrees(ax: Axes, grid: OceanGrid, axis: str, values: FloatArray) -> None:
    """Set ticks at multiples of 30 or 60 degrees on wide domains."""
    span = np.ptp(values)
    if grid.horizontal_units == "degrees" and span > 60:
        getattr(ax, f"{axis}axis").set_major_locator(MultipleLocator(60 if span > 180 else 30))


def _edges(centres: FloatArray) -> FloatArray:
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _signed_root(depth: FloatArray) -> FloatArray:
    return np.sign(depth) * np.sqrt(np.abs(depth))


def _signed_square(root: FloatArray) -> FloatArray:
    return np.sign(root) * np.square(root)


def reference_name(rows: Mapping[str, object]) -> str:
    """Name of the reference row: "truth", or else the first."""
    return "truth" if "truth" in rows else next(iter(rows))


def row_colours(rows: Mapping[str, object]) -> dict[str, str]:
    """Colour of each row: black for the reference, a fixed order for the others."""
    truth = reference_name(rows)
    others = iter(ROW_COLOURS * len(rows))
    return {name: TRUTH_COLOUR if name == truth else next(others) for name in rows}


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; written atomically."""
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=130)
    return path


def quantities(salinity: Salinity) -> dict[str, tuple[str, str, str]]:
    """Title, unit and colours of each field."""
    return {
        "temperature": ("temperature", "°C", "temperature"),
        "salinity": ("salinity", salinity.shown, "salinity"),
        "density": ("potential density σ₀", "kg/m³", "density"),
    }
