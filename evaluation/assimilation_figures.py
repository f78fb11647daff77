"""Figures of an assimilation: innovations, increments, and what is still uncertain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.archive.reader import StateArchive
from data.batches import read_in_batches
from data.grid import OceanGrid
from data.observations import Observations
from data.parameters import axis_label
from evaluation.canvas import Scale, draw_map, draw_section, map_panel, new_figure, styled
from evaluation.innovations import Innovations
from latent_diffusion.inference import Weighted

FloatArray = NDArray[np.float64]
BATCH = 16
THERMOCLINE = 500.0  # m, depth of the maps below the surface
BINS = np.linspace(-4, 4, 33)


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of temperature over an ensemble, `z y x` [degC, K].

    NaN on land.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, archive: StateArchive) -> Moments:
        """Of all states of an archive, in one pass."""
        first = archive.read([0]).temperature[0].double()  # taken out, against cancellation
        total = torch.zeros(2, *first.shape, dtype=torch.float64)
        for states in read_in_batches(archive, range(len(archive)), at_once=BATCH):
            anomaly = states.temperature.double() - first
            total += torch.stack([anomaly.sum(dim=0), anomaly.square().sum(dim=0)])
        mean = total[0] / len(archive)
        square = (total[1] - len(archive) * mean.square()).clamp(min=0)
        deviation = (square / max(len(archive) - 1, 1)).sqrt()
        return cls(
            *(np.where(archive.grid.wet, f.numpy(), np.nan) for f in (first + mean, deviation))
        )


@styled
def innovation_figure(rows: Mapping[str, Innovations]) -> Figure:
    """For each row: innovations in standard errors, and ranks of the observations."""
    figure, axes = new_figure(2, len(rows), panel=(3.0, 2.4))
    normal = np.exp(-0.5 * BINS**2) / np.sqrt(2 * np.pi)
    for (above, below), (name, row) in zip(axes.T, rows.items(), strict=True):
        total = np.sqrt(row.error**2 + row.spread**2)
        above.hist((row.mean / total).clip(BINS[0], BINS[-1]), BINS, density=True, color="#7a9cb8")
        above.plot(BINS, normal, color="black", linewidth=1)
        above.set_title(name)
        above.set_xlabel("innovation / (spread and error)")
        counts = row.ranks()
        below.bar(np.arange(len(counts)), counts, color="#7a9cb8", width=0.9)
        below.axhline(counts.mean(), color="black", linewidth=1)
        below.set_xlabel("rank among the members")
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("observations")
    return figure


@styled
def increment_figure(
    prior: Moments, posterior: Moments, grid: OceanGrid, observations: Observations
) -> Figure:
    """Mean, change of the mean, and spread before and after: at the surface and below."""
    levels = [0, int(np.abs(grid.depth - THERMOCLINE).argmin())]
    change = posterior.mean - prior.mean
    width, height = map_panel(grid, area=6.0)
    panel = (width + 1.2, height)  # with a colour bar
    figure, axes = new_figure(2, 4, panel=panel, layout="compressed")
    for row, level in zip(axes, levels, strict=True):
        mean = Scale.spanning([posterior.mean[level]], "temperature")
        moved = Scale.symmetric([change[level]])
        spread = Scale.from_zero([prior.deviation[level], posterior.deviation[level]], "variance")
        panels = [
            ("mean", posterior.mean, mean),
            ("change", change, moved),
            ("spread before", prior.deviation, spread),
            ("spread after", posterior.deviation, spread),
        ]
        for ax, (name, field, scale) in zip(row, panels, strict=True):
            mesh = draw_map(ax, grid, field[level], scale)
            ax.set_title(f"{name}, {grid.depth[level]:.0f} m")
            figure.colorbar(mesh, ax=ax, label="°C" if field is posterior.mean else "K")
        row[1].plot(observations.longitude, observations.latitude, "k.", markersize=2)
    return figure


@styled
def section_figure(prior: Moments, posterior: Moments, grid: OceanGrid) -> Figure:
    """Change of the zonal mean temperature, and rms spread along rows before and after."""
    weight = grid.volume

    def zonal(field: FloatArray) -> FloatArray:
        total = weight.sum(axis=2)
        sums = (np.nan_to_num(field) * weight).sum(axis=2)
        return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)

    change = zonal(posterior.mean - prior.mean)
    before, after = (np.sqrt(zonal(one.deviation**2)) for one in (prior, posterior))
    spread = Scale.from_zero([before, after], "variance")
    figure, axes = new_figure(1, 3, panel=(3.8, 3.0))
    panels = [
        ("change of the zonal mean", change, Scale.symmetric([change])),
        ("spread before", before, spread),
        ("spread after", after, spread),
    ]
    for ax, (name, field, scale) in zip(axes[0], panels, strict=True):
        mesh = draw_section(ax, grid, field, scale)
        ax.set_title(name)
        figure.colorbar(mesh, ax=ax, label="temperature [K]")
    return figure


@styled
def conditions_figure(weighted: Weighted, ranges: Mapping[str, tuple[float, float]]) -> Figure:
    """Posterior probability of each unknown condition over its range."""
    names = [n for n, v in weighted.conditions.values.items() if len(np.unique(v)) > 1]
    figure, axes = new_figure(1, max(len(names), 1), panel=(2.8, 2.2))
    for ax, name in zip(axes[0], names, strict=False):
        low, high = ranges.get(name, (0.0, 1.0))
        bins = np.linspace(low, high, 25)
        ax.hist(weighted.conditions.values[name], bins, weights=weighted.probability)
        ax.set_xlabel(axis_label(name, weighted.conditions.units))
    axes[0, 0].set_ylabel("probability")
    return figure
