"""Where generated states differ from the truth: their mean and their spread, by place and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.stability import mixed_layer_depth
from evaluation.metrics.weights import column_area, level_means
from guidance.seawater import EquationOfState

FloatArray = NDArray[np.float64]
VOLUME_FIELDS = ("temperature", "salinity")


@dataclass(frozen=True)
class Extreme:
    """The value of largest magnitude in an array, and its index."""

    value: float
    index: tuple[int, ...]


class Band(NamedTuple):
    """A row of the grid, and the variance of generated states there, relative to the truth's."""

    row: int
    ratio: float


@dataclass(frozen=True)
class MapDifference:
    """A field at the surface: mean and variance over the states, all `y x`, NaN on land.

    Variances are NaN of fewer than two states. area: of the columns `y x` [m2], 0 on land
    """

    true_mean: FloatArray
    mean: FloatArray
    true_variance: FloatArray
    variance: FloatArray
    area: FloatArray

    @property
    def bias(self) -> FloatArray:
        """Generated minus true mean `y x`."""
        return self.mean - self.true_mean

    @property
    def rms(self) -> float:
        """Area-weighted rms of the bias; NaN if it is nowhere defined."""
        known = np.isfinite(self.bias)
        area = np.where(known, self.area, 0.0)
        if not area.any():
            return float("nan")
        return float(np.sqrt((np.where(known, self.bias, 0.0) ** 2 * area).sum() / area.sum()))

    @property
    def spread(self) -> FloatArray:
        """Generated minus true standard deviation `y x`."""
        return np.sqrt(self.variance) - np.sqrt(self.true_variance)

    def band(self, *, of_excess: bool) -> Band | None:
        """The row with most of the excess or of the lack of variance; None if there is none.

        Rows count by the integral of the difference of the variances over their area, so that a
        single cell or a quiet region does not decide.
        """
        ours, truth = (
            np.nansum(np.where(self.area > 0, one, np.nan) * self.area, axis=1)
            for one in (self.variance, self.true_variance)
        )
        difference = ours - truth if of_excess else truth - ours
        row = int(difference.argmax())
        if not (difference[row] > 0 and truth[row] > 0):
            return None
        return Band(row, float(ours[row] / truth[row]))


@dataclass(frozen=True)
class Differences:
    """Generated states minus the truth.

    maps: "temperature", "salinity" and "mixed layer", and "sea level" where the states have it;
    sections: zonal and ensemble mean `z y` of T and S, NaN where a row has no ocean;
    profiles: horizontal and ensemble mean `z` of both, NaN at levels without ocean
    """

    maps: dict[str, MapDifference]
    sections: dict[str, FloatArray]
    profiles: dict[str, FloatArray]

    @classmethod
    def between(
        cls, truth: State, generated: State, grid: OceanGrid, eos: EquationOfState
    ) -> Differences:
        """How `generated` differs from `truth`."""
        fields = {
            name: (getattr(truth, name)[:, 0], getattr(generated, name)[:, 0])
            for name in VOLUME_FIELDS
        }
        fields["mixed layer"] = (
            mixed_layer_depth(truth, grid, eos),
            mixed_layer_depth(generated, grid, eos),
        )
        if truth.sea_level is not None and generated.sea_level is not None:
            fields["sea level"] = (truth.sea_level, generated.sea_level)
        return cls(
            maps={name: _map(true, ours, grid) for name, (true, ours) in fields.items()},
            sections={name: _section(truth, generated, grid, field=name) for name in VOLUME_FIELDS},
            profiles={name: _profile(truth, generated, grid, field=name) for name in VOLUME_FIELDS},
        )


def extreme(values: FloatArray) -> Extreme | None:
    """The value of largest magnitude among those that are finite; None if there is none."""
    size = np.where(np.isfinite(values), np.abs(values), -1.0)
    index = np.unravel_index(int(size.argmax()), size.shape)
    if size[index] < 0:
        return None
    return Extreme(float(values[index]), tuple(int(i) for i in index))


def _map(truth: Tensor, generated: Tensor, grid: OceanGrid) -> MapDifference:
    true_mean, mean = (_on_sea(field.double().mean(dim=0), grid) for field in (truth, generated))
    true_variance, variance = (
        _on_sea(_variance(field.double()), grid) for field in (truth, generated)
    )
    area = column_area(grid).numpy()
    return MapDifference(true_mean, mean, true_variance, variance, area)


def _variance(field: Tensor) -> Tensor:
    if len(field) < 2:
        return torch.full_like(field[0], float("nan"))
    return field.var(dim=0)


def _on_sea(values: Tensor, grid: OceanGrid) -> FloatArray:
    return np.where(grid.wet[0], values.numpy(), np.nan)


def _section(truth: State, generated: State, grid: OceanGrid, *, field: str) -> FloatArray:
    ours, theirs = (getattr(one, field).double().mean(dim=0).numpy() for one in (generated, truth))
    volume = grid.volume
    with np.errstate(invalid="ignore", divide="ignore"):
        section: FloatArray = ((ours - theirs) * volume).sum(axis=2) / volume.sum(axis=2)
    return section


def _profile(truth: State, generated: State, grid: OceanGrid, *, field: str) -> FloatArray:
    ours, theirs = (
        level_means(getattr(one, field), grid).mean(dim=0) for one in (generated, truth)
    )
    profile: FloatArray = (ours - theirs).numpy()
    return profile
