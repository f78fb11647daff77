"""What is said of translated states: against the source, and against the training states."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from configs.translation import Translation, both
from data.archive.splits import spread_out
from data.grid import OceanGrid
from data.state import State
from evaluation.columns import Column, Value
from evaluation.drawn import PHYSICS, physics
from evaluation.metrics.spectra import band_metrics
from evaluation.metrics.weights import cell_volume

REFERENCE_STATES = 64  # of the training states

COLUMNS = (
    Column("misfit", "misfit of means", "", "rms of the means over the source's cells minus its "
           "values (mapped ones, if it was mapped), in standard errors"),
    Column("temperature_K", "T of means", "K", "the same; of temperature"),
    Column("salinity", "S of means", "1e-3", "the same; of salinity"),
    Column("correlation", "r of large scales", "", "correlation with the source of the means' "
           "temperature anomalies from the training states', without level means"),
    Column("bias_K", "bias of level means", "K", "rms over depth of level-mean T minus that of the "
           "training states"),
    Column("bias_salinity", "bias of level means, S", "1e-3", "the same; of salinity"),
    Column("power_ratio_surface_third_3", "power, surface, short waves, ratio", "",
           "of T anomalies along rows, over that of the training states"),
    Column("power_ratio_thermocline_third_3", "power, thermocline, short waves, ratio", "",
           "of T anomalies along rows, over that of the training states"),
    *PHYSICS,
    Column("spread_K", "spread", "K", "rms of the members' standard deviation of T"),
)  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """Compares states with the source and with the training states.

    value, errors: means over the source's cells and their standard deviation, `n`; training: states
    source: the same means before they were mapped
    """

    translation: Translation
    value: Tensor
    errors: Tensor
    training: State
    source: Tensor

    @classmethod
    def of(cls, translation: Translation, errors: Tensor) -> Judge:
        """Of a translation; errors: of its means."""
        archive = translation.run.archive
        rows = spread_out(archive.indices("train"), REFERENCE_STATES)
        training = replace(archive.read(rows), sea_level=None)
        value = translation.value
        source = value
        if translation.maps:
            source = both(translation.blocks, translation.regridded.state)[0]
        return cls(translation, value, errors, training, source)

    def row(self, states: State) -> dict[str, Value]:
        """All columns of one row."""
        grid = self.translation.run.archive.grid
        climatology = self.training.temperature.mean(dim=0)
        bands = band_metrics(states, self.training, grid, climatology=climatology)
        equation = self.translation.run.archive.equation_of_state
        spread = states.temperature.double().var(dim=0) if len(states) > 1 else None
        return {
            **self._of_means(states),
            **self._bias(states, grid),
            **{key: bands[key] for key in bands if key in {column.key for column in COLUMNS}},
            **physics(states, grid, equation=equation),
            "spread_K": _volume_rms(spread, grid) if spread is not None else None,
        }

    def _of_means(self, states: State) -> dict[str, Value]:
        blocks = self.translation.blocks
        seen = both(blocks, states)
        innovation = self.value - seen
        half = len(blocks.cells)
        normal = both(blocks, self.training).mean(dim=0)
        level = torch.from_numpy(blocks.cells // blocks.coarse.area.size)
        volume = torch.from_numpy(blocks.coarse.volume.ravel()[blocks.cells])
        ours, theirs = (
            _without_level_means((x - normal)[..., :half], level, volume)
            for x in (seen.mean(dim=0, keepdim=True), self.source[None])
        )
        cross = (ours * theirs * volume).sum()
        size = (ours.square() * volume).sum() * (theirs.square() * volume).sum()
        return {
            "misfit": float((innovation / self.errors).square().mean().sqrt()),
            "temperature_K": float(innovation[:, :half].square().mean().sqrt()),
            "salinity": float(innovation[:, half:].square().mean().sqrt()),
            "correlation": float(cross / size.sqrt()),
        }

    def _bias(self, states: State, grid: OceanGrid) -> dict[str, Value]:
        fields = (
            ("bias_K", states.temperature, self.training.temperature),
            ("bias_salinity", states.salinity, self.training.salinity),
        )
        return {
            key: rms_over_depth(level_differences(ours, theirs, grid), grid)
            for key, ours, theirs in fields
        }


def level_differences(ours: Tensor, theirs: Tensor, grid: OceanGrid) -> Tensor:
    """Difference of the level means `z` of fields `b z y x`, each of the mean over its states.

    0 for levels without water.
    """
    volume = cell_volume(grid)
    difference = (ours.double().mean(dim=0) - theirs.double().mean(dim=0)) * volume
    level: Tensor = difference.sum(dim=(1, 2)) / volume.sum(dim=(1, 2)).clamp(min=1e-30)
    return level


def level_weights(grid: OceanGrid) -> Tensor:
    """Thickness of each level `z` as a share of all that have water."""
    thickness = torch.from_numpy(np.diff(grid.faces) * grid.wet.any(axis=(1, 2)))
    return thickness / thickness.sum()


def rms_over_depth(values: Tensor, grid: OceanGrid) -> float:
    """Root of the mean square of values `z`, weighted with the thickness of the levels."""
    return float((values.square() * level_weights(grid)).sum().sqrt())


def _without_level_means(values: Tensor, level: Tensor, volume: Tensor) -> Tensor:
    """Values `1 n` without the means of their levels."""
    total = level.bincount(volume).clamp(min=1e-30)
    means = level.bincount(values[0] * volume) / total
    return values - means[level]


def _volume_rms(variance: Tensor, grid: OceanGrid) -> float:
    volume = cell_volume(grid)
    return float(((variance * volume).sum() / volume.sum()).sqrt())
