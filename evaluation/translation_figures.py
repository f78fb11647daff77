"""Figures of a translation: maps and a section of what was changed, and the choice of the noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from configs.translation import Noise
from data.grid import OceanGrid
from data.state import State
from evaluation.canvas import (
    Scale,
    draw_map,
    draw_section,
    map_panel,
    meridian_name,
    new_figure,
    styled,
)

FloatArray = NDArray[np.float64]
THERMOCLINE = 500.0  # m
WORST = 6  # scales whose curves are drawn


def panels(
    before: Mapping[str, State], states: State, grid: OceanGrid
) -> list[tuple[str, FloatArray, str]]:
    """Name, temperature `z y x` and kind of each panel; NaN on land."""
    given = {name: state.temperature[0] for name, state in before.items()}
    first = states.temperature[0]
    change = first - next(reversed(given.values()))
    fields = [(name, field, "temperature") for name, field in given.items()]
    fields += [("translated", first, "temperature"), ("difference", change, "difference")]
    if len(states) > 1:
        fields.append(("spread", states.temperature.std(dim=0), "variance"))
    dry = torch.from_numpy(~grid.wet)
    return [
        (name, field.double().masked_fill(dry, torch.nan).numpy(), kind)
        for name, field, kind in fields
    ]


@styled
def map_figure(before: Mapping[str, State], states: State, grid: OceanGrid) -> Figure:
    """Maps at the surface and in the thermocline."""
    levels = [0, int(np.abs(grid.depth - THERMOCLINE).argmin())]
    drawn = panels(before, states, grid)
    width, height = map_panel(grid, area=6.0)
    figure, axes = new_figure(2, len(drawn), panel=(width + 1.2, height), layout="compressed")
    for row, level in zip(axes, levels, strict=True):
        scales = _scales([(kind, field[level]) for _, field, kind in drawn])
        for ax, (name, field, kind) in zip(row, drawn, strict=True):
            mesh = draw_map(ax, grid, field[level], scales[kind])
            ax.set_title(f"{name}, {grid.depth[level]:.0f} m")
            figure.colorbar(mesh, ax=ax, label="°C" if kind == "temperature" else "K")
    return figure


@styled
def section_figure(before: Mapping[str, State], states: State, grid: OceanGrid) -> Figure:
    """Sections along the middle column."""
    column = grid.shape[2] // 2
    drawn = [
        (name, field[:, :, column], kind) for name, field, kind in panels(before, states, grid)
    ]
    scales = _scales([(kind, field) for _, field, kind in drawn])
    figure, axes = new_figure(1, len(drawn), panel=(3.6, 3.0))
    for ax, (name, field, kind) in zip(axes[0], drawn, strict=True):
        mesh = draw_section(ax, grid, field, scales[kind])
        ax.set_title(f"{name}, {meridian_name(grid, column)}")
        figure.colorbar(mesh, ax=ax, label="°C" if kind == "temperature" else "K")
    return figure


@styled
def noise_figure(noise: Noise) -> Figure:
    """Ratio of powers against noise, of the scales that need most, and the choice."""
    figure, axes = new_figure(1, 1, panel=(6.0, 3.6))
    ax, amplitude = axes[0, 0], np.linspace(0.0, 1.0, 101)
    for scale in sorted(noise.scales, key=lambda one: -one.noise)[:WORST]:
        ratio = [scale.ratio(a) for a in amplitude]
        first, last = scale.channels
        ax.plot(amplitude, ratio, label=f"latents {first + 1} to {last}, {scale.cells} cells")
    ax.axhspan(0.9, 1.1, color="0.9")
    ax.axvline(noise.amplitude, color="black", linewidth=1)
    ax.set_yscale("log")
    ax.set_xlabel("amplitude of the noise")
    ax.set_ylabel("power, source / training states")
    ax.legend()
    return figure


def _scales(fields: list[tuple[str, FloatArray]]) -> dict[str, Scale]:
    """The colour scale of each kind of panel."""
    by_kind = {kind: [field for own, field in fields if own == kind] for kind in dict(fields)}
    return {kind: _scale(own, kind) for kind, own in by_kind.items()}


def _scale(fields: list[FloatArray], kind: str) -> Scale:
    if kind == "difference":
        return Scale.symmetric(fields)
    return Scale.from_zero(fields, kind) if kind == "variance" else Scale.spanning(fields, kind)
