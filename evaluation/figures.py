"""Figures that compare sets of states with the truth.

Every function takes `rows`, states by name. The reference is the row "truth", or else the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.grid import OceanGrid
from data.salinity import Salinity, salinity_of
from data.state import State
from evaluation.canvas import (
    Scale,
    depth_ticks,
    draw_map,
    draw_section,
    is_tall,
    map_axes,
    map_panel,
    masked,
    meridian_name,
    new_figure,
    quantities,
    reference_name,
    row_colours,
    save_figure,
    stretch_depth,
    styled,
)
from evaluation.metrics.spectra import zonal_spectra
from evaluation.metrics.stability import mixed_layer_depth, potential_density
from evaluation.metrics.weights import cell_volume, level_means
from guidance.seawater import EquationOfState
from guidance.stratification import buoyancy_frequency_squared

FloatArray = NDArray[np.float64]
Rows = dict[str, State]

MEMBERS = 3  # states shown per row


def save_figures(rows: Rows, grid: OceanGrid, eos: EquationOfState, directory: Path) -> list[Path]:
    """Save all figures applicable to the rows as PNG in `directory`; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        save_figure(draw(), directory / f"{name}.png")
        for name, draw in _catalogue(rows, grid, eos).items()
    ]


def _catalogue(
    rows: Rows, grid: OceanGrid, eos: EquationOfState
) -> dict[str, Callable[[], Figure]]:
    truth, salinity = reference_name(rows), salinity_of(eos.name)
    several = {name: state for name, state in rows.items() if len(state) > 1}
    figures: dict[str, Callable[[], Figure]] = {
        "surface_temperature": lambda: surface_maps(rows, grid, salinity, field="temperature"),
        "surface_salinity": lambda: surface_maps(rows, grid, salinity, field="salinity"),
        "meridional_sections": lambda: meridional_sections(rows, grid, eos),
        "mean_profiles": lambda: mean_profiles(rows, grid, eos),
        "temperature_salinity_diagram": lambda: temperature_salinity_diagram(rows, grid, eos),
        "mixed_layer_depth": lambda: mixed_layer_maps(rows, grid, eos),
        "mixed_layer_distribution": lambda: mixed_layer_distribution(rows, grid, eos),
    }
    if all(state.sea_level is not None for state in rows.values()):
        figures["sea_level"] = lambda: surface_maps(rows, grid, salinity, field="sea_level")
    if len(several) == len(rows):
        figures["spectra"] = lambda: spectra(rows, grid)
        figures["surface_variance"] = lambda: variance_maps(rows, grid, salinity)
    for name in rows:
        if name != truth:
            figures[f"zonal_mean_{_file_name(name)}"] = partial(
                zonal_mean_sections, rows, grid, eos, generated=name
            )
    return figures


@styled
def surface_maps(
    rows: Rows, grid: OceanGrid, salinity: Salinity, *, field: str, count: int | None = None
) -> Figure:
    """Surface maps of single states; `field` is "temperature", "salinity" or "sea_level".

    count: states of each row; default: 3, or fewer if maps are tall and rows many
    """
    shown = count or (max(1, min(MEMBERS, 9 // len(rows))) if is_tall(grid) else MEMBERS)
    panels = {
        name: [_surface(state, field, member, grid) for member in range(min(shown, len(state)))]
        for name, state in rows.items()
    }
    everything = [panel for members in panels.values() for panel in members]
    if field == "sea_level":
        title, unit, scale = "sea level", "m", Scale.symmetric(everything)
    else:
        title, unit, colours = quantities(salinity)[field]
        title = f"surface {title}"
        scale = Scale.spanning(everything, colours)
    figure, axes = map_axes(len(everything), grid, columns=shown)
    titles = [f"{name}, state {i + 1}" for name in panels for i in range(len(panels[name]))]
    for ax, panel, name in zip(axes, everything, titles, strict=True):
        mesh = draw_map(ax, grid, panel, scale)
        ax.set_title(name)
    figure.colorbar(mesh, ax=axes, label=f"{title} [{unit}]", extend="both", shrink=0.8)
    figure.suptitle("Single states at the surface")
    return figure


@styled
def variance_maps(rows: Rows, grid: OceanGrid, salinity: Salinity) -> Figure:
    """Maps of the variance of surface temperature and salinity over the samples of each row."""
    tall = is_tall(grid)
    shape = (2, len(rows)) if tall else (len(rows), 2)
    figure, axes = new_figure(*shape, panel=map_panel(grid), layout="compressed")
    groups = axes if tall else axes.T
    units = {"temperature": "K²", "salinity": salinity.shown_squared}
    for group, (field, unit) in zip(groups, units.items(), strict=True):
        fields = [masked(getattr(s, field)[:, 0].double().var(dim=0), grid) for s in rows.values()]
        scale = Scale.from_zero(fields, "variance")
        for ax, name, values in zip(group, rows, fields, strict=True):
            mesh = draw_map(ax, grid, values, scale)
            ax.set_title(name)
        figure.colorbar(
            mesh,
            ax=list(group),
            label=f"variance of surface {field} [{unit}]",
            extend="max",
            location="right" if tall else "bottom",
            shrink=0.8,
        )
    figure.suptitle("Variance over the samples")
    return figure


@styled
def mixed_layer_maps(rows: Rows, grid: OceanGrid, eos: EquationOfState) -> Figure:
    """Maps of the mean mixed-layer depth of each row."""
    means = [masked(mixed_layer_depth(s, grid, eos).mean(dim=0), grid) for s in rows.values()]
    scale = Scale.spanning(means, "depth")
    figure, axes = map_axes(len(rows), grid, columns=3)
    for ax, name, mean in zip(axes, rows, means, strict=True):
        mesh = draw_map(ax, grid, mean, scale)
        ax.set_title(name)
    figure.colorbar(mesh, ax=axes, label="mixed-layer depth [m]", extend="both", shrink=0.8)
    figure.suptitle("Mean mixed-layer depth")
    return figure


@styled
def mixed_layer_distribution(rows: Rows, grid: OceanGrid, eos: EquationOfState) -> Figure:
    """Histogram of mixed-layer depth over area and samples; bins are the model levels."""
    figure, axes = new_figure(1, 1, panel=(5.5, 3.2))
    ax, edges = axes[0, 0], grid.faces
    edges[-1] = max(edges[-1], float((grid.thickness * grid.wet).sum(axis=0).max()))
    for name, colour in row_colours(rows).items():
        depth = mixed_layer_depth(rows[name], grid, eos).numpy()
        area = np.broadcast_to(grid.area, depth.shape)[np.isfinite(depth)]
        share, _ = np.histogram(depth[np.isfinite(depth)], edges, weights=100 * area / area.sum())
        ax.stairs(share, edges, color=colour, label=name, linewidth=1.4)
    ax.set_xscale("function", functions=(np.sqrt, np.square))
    ax.set_xlim(0, edges[-1])
    ax.set_xticks(depth_ticks(edges[-1]))
    ax.set_yscale("log")
    ax.set_xlabel("mixed-layer depth [m]")
    ax.set_ylabel("fraction of area and samples [%]")
    ax.legend()
    figure.suptitle("Distribution of mixed-layer depth")
    return figure


@styled
def zonal_mean_sections(
    rows: Rows, grid: OceanGrid, eos: EquationOfState, *, generated: str
) -> Figure:
    """Zonal and ensemble means of T, S and sigma0: truth, generated states and difference."""
    truth = reference_name(rows)
    figure, axes = new_figure(3, 3, panel=(3.6, 2.5))
    shown = quantities(salinity_of(eos.name)).items()
    for line, (field, (title, unit, colours)) in zip(axes, shown, strict=True):
        means = [_zonal_mean(_field(rows[name], field, eos), grid) for name in (truth, generated)]
        scale = Scale.spanning(means, colours)
        for ax, name, mean in zip(line, (truth, generated), means, strict=False):
            mesh = draw_section(ax, grid, mean, scale)
            ax.set_title(f"{name}: {title}")
        figure.colorbar(mesh, ax=list(line[:2]), label=f"[{unit}]", extend="both")
        difference = means[1] - means[0]
        mesh = draw_section(line[2], grid, difference, Scale.symmetric([difference]))
        line[2].set_title(f"{generated} − {truth}")
        figure.colorbar(mesh, ax=line[2], label=f"[{unit}]", extend="both")
    figure.suptitle("Zonal and ensemble mean")
    return figure


@styled
def meridional_sections(rows: Rows, grid: OceanGrid, eos: EquationOfState) -> Figure:
    """T, S and sigma0 of each row's first state along the meridian with most ocean."""
    column = int(grid.wet.sum(axis=(0, 1)).argmax())
    figure, axes = new_figure(3, len(rows), panel=(3.6, 2.4))
    shown = quantities(salinity_of(eos.name)).items()
    for line, (field, (title, unit, colours)) in zip(axes, shown, strict=True):
        sections = [
            np.where(grid.wet, _field(_member(state, 0), field, eos)[0].numpy(), np.nan)[
                ..., column
            ]
            for state in rows.values()
        ]
        scale = Scale.spanning(sections, colours)
        for ax, name, section in zip(line, rows, sections, strict=True):
            mesh = draw_section(ax, grid, section, scale)
            ax.set_title(f"{name}: {title}")
        figure.colorbar(mesh, ax=list(line), label=f"[{unit}]", extend="both")
    figure.suptitle(f"Single states along {meridian_name(grid, column)}")
    return figure


@styled
def mean_profiles(rows: Rows, grid: OceanGrid, eos: EquationOfState) -> Figure:
    """Profiles of horizontal-mean T, S, sigma0 and N2, and their differences from the truth.

    Bands are one standard deviation over the samples.
    """
    profiles = {name: _profiles(state, grid, eos) for name, state in rows.items()}
    reference = profiles[reference_name(rows)]
    figure, axes = new_figure(2, len(reference), panel=(2.7, 3.1))
    for upper, lower, quantity in zip(axes[0], axes[1], reference, strict=True):
        depth, truth = reference[quantity]
        for name, colour in row_colours(rows).items():
            _, profile = profiles[name][quantity]
            _profile_line(upper, depth, profile, colour, name)
            _profile_line(lower, depth, profile - truth.mean(axis=0), colour, name)
        upper.set_xlabel(quantity)
        lower.set_xlabel(f"difference: {quantity}")
        for ax in (upper, lower):
            stretch_depth(ax, grid)
    _label_profiles(axes)
    figure.suptitle("Horizontal means (bands: one standard deviation over the samples)")
    return figure


@styled
def temperature_salinity_diagram(rows: Rows, grid: OceanGrid, eos: EquationOfState) -> Figure:
    """Distribution of volume in the T-S plane, with contours of sigma0."""
    volume = cell_volume(grid)
    wet = volume > 0
    points = {
        name: (s.salinity[:, wet].numpy(), s.temperature[:, wet].numpy())
        for name, s in rows.items()
    }
    span = [_common_range([point[axis] for point in points.values()]) for axis in (0, 1)]
    figure, axes = new_figure(1, len(rows), panel=(3.8, 3.7))
    for ax, (name, (salinity, temperature)) in zip(axes[0], points.items(), strict=True):
        weights = np.broadcast_to((100 * volume[wet] / volume.sum()).numpy(), salinity.shape)
        density, *edges = np.histogram2d(
            salinity.ravel(),
            temperature.ravel(),
            bins=90,
            range=span,
            weights=weights.ravel() / len(salinity),
        )
        mesh = ax.pcolormesh(
            *edges,
            np.where(density > 0, density, np.nan).T,
            norm=LogNorm(1e-4, 3),
            cmap=Scale(0, 1, "volume").colours,
        )
        _density_contours(ax, span, eos)
        ax.set_title(name)
        ax.set_xlabel(f"salinity [{salinity_of(eos.name).shown}]")
        ax.set_ylabel("temperature [°C]")
        ax.label_outer()
    figure.colorbar(mesh, ax=list(axes[0]), label="fraction of volume per bin [%]", extend="both")
    figure.suptitle("Temperature-salinity diagram (contours: σ₀ [kg/m³])")
    return figure


@styled
def spectra(rows: Rows, grid: OceanGrid) -> Figure:
    """Zonal power spectra of temperature anomalies from the mean of the truth, by depth."""
    climatology = rows[reference_name(rows)].temperature.double().mean(dim=0)
    lines = {
        name: zonal_spectra(state.temperature, grid, climatology=climatology)
        for name, state in rows.items()
    }
    levels = next(iter(lines.values()))
    figure, axes = new_figure(1, max(len(levels), 1), panel=(3.4, 3.3))
    for panel, (ax, level) in enumerate(zip(axes[0], levels, strict=False)):
        for name, colour in row_colours(rows).items():
            line = lines[name][panel]
            ax.loglog(line.wavenumber, line.power, color=colour, label=name, marker=".")
        fine = level.wavenumber[-(-2 * len(level.wavenumber) // 3) :]
        ax.axvspan(fine[0], fine[-1], color="0.92", zorder=0)
        ax.set_title(f"{level.depth:.0f} m")
        _wavelength_axis(ax, level.wavenumber)
    axes[0, 0].set_ylabel("power of T anomaly [K²]")
    axes[0, 0].legend()
    figure.suptitle("Zonal spectra (grey: range of the small-scale power ratio)")
    return figure


def _wavelength_axis(ax: Axes, wavenumber: FloatArray) -> None:
    """Label the axis of wavenumbers with wavelengths."""
    waves = np.array([2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256])
    waves = waves[(1 / waves >= 0.95 * wavenumber[0]) & (1 / waves <= 1.05 * wavenumber[-1])]
    ax.set_xticks(1 / waves, [f"{wave}" for wave in waves])
    ax.minorticks_off()
    ax.set_xlabel("wavelength [grid cells]")


def _profiles(
    state: State, grid: OceanGrid, eos: EquationOfState
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Depths `z` and horizontal means `b z` of each quantity."""
    fields = {
        "temperature [°C]": state.temperature,
        f"salinity [{salinity_of(eos.name).shown}]": state.salinity,
        "σ₀ [kg/m³]": potential_density(state, eos),
    }
    depth = np.asarray(grid.depth)
    means = {name: (depth, level_means(field, grid).numpy()) for name, field in fields.items()}
    buoyancy = 1e5 * _mean_buoyancy_frequency_squared(state, grid, eos)
    return {**means, "N² [10⁻⁵ s⁻²]": (grid.interface_depth, buoyancy)}


def _mean_buoyancy_frequency_squared(
    state: State, grid: OceanGrid, eos: EquationOfState
) -> FloatArray:
    """Horizontal mean `b z-1` of N2 [1/s2]."""
    double = state.map(lambda field: field.double())
    squared = buoyancy_frequency_squared(double, eos=eos, grid=grid)
    area = torch.from_numpy(grid.area * (grid.wet[1:] & grid.wet[:-1]))
    return ((squared * area).sum(dim=(2, 3)) / area.sum(dim=(1, 2))).numpy()


def _profile_line(ax: Axes, depth: FloatArray, profile: FloatArray, colour: str, name: str) -> None:
    mean, spread = profile.mean(axis=0), profile.std(axis=0)
    ax.fill_betweenx(depth, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    ax.plot(mean, depth, color=colour, label=name, linewidth=1.3)


def _label_profiles(axes: NDArray[Any]) -> None:
    for line in axes:
        line[0].set_ylabel("depth [m]")
        for ax in line[1:]:
            ax.tick_params(labelleft=False)
    axes[0, 0].legend(loc="lower right")


def _density_contours(ax: Axes, span: list[tuple[float, float]], eos: EquationOfState) -> None:
    salinity, temperature = np.meshgrid(*(np.linspace(*limits, 80) for limits in span))
    state = State(*(torch.from_numpy(x)[None, None] for x in (temperature, salinity)))
    sigma = potential_density(state, eos)[0, 0].numpy()
    lines = ax.contour(salinity, temperature, sigma, levels=10, colors="0.45", linewidths=0.6)
    ax.clabel(lines, fmt="%.1f", fontsize=7)


def _field(state: State, name: str, eos: EquationOfState) -> torch.Tensor:
    """`b z y x` of "temperature", "salinity" or "density" (sigma0)."""
    if name == "density":
        return potential_density(state, eos)
    return getattr(state, name).double()


def _zonal_mean(field: torch.Tensor, grid: OceanGrid) -> FloatArray:
    """Mean over samples and x `z y`, by wet volume; NaN where a row has no ocean."""
    volume = np.asarray(grid.volume)
    with np.errstate(invalid="ignore"):
        return (field.mean(dim=0).numpy() * volume).sum(axis=2) / volume.sum(axis=2)


def _surface(state: State, field: str, member: int, grid: OceanGrid) -> FloatArray:
    values = getattr(state, field)[member]
    return masked(values if field == "sea_level" else values[0], grid)


def _member(state: State, index: int) -> State:
    return state.map(lambda field: field[index : index + 1])


def _common_range(values: list[FloatArray]) -> tuple[float, float]:
    low = min(np.percentile(value, 0.05) for value in values)
    high = max(np.percentile(value, 99.95) for value in values)
    margin = 0.05 * (high - low) + 1e-6
    return float(low - margin), float(high + margin)


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())
