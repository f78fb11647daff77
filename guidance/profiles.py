"""Constraints on profiles of horizontal means.

Given to each sample they cost variance, for real states differ in their means; given to the
ensemble's mean alone (`per="ensemble"`) they shift all samples alike and leave their spread.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.climatology import HorizontalMean, Per
from guidance.seawater import EquationOfState
from guidance.stratification import wet_pairs
from guidance.terms import (
    Ocean,
    Scales,
    TermSettings,
    check_levels,
    half_squares,
    inverse_square,
)


class MeanProfile:
    """Half the mean squared distance of the horizontal-mean T and S profiles to given ones.

    The "hydrostatic" constraint of Meunier et al. 2025 (arXiv 2502.02499, eq. 2); means are
    weighted by wet area, distances in units of `scales`, averaged over all wet cells (so that one
    Polyak step in data space shifts every level by its error). `per="sample"` is the paper's.
    """

    def __init__(
        self,
        grid: OceanGrid,
        temperature: Tensor,
        salinity: Tensor,
        scales: Scales,
        *,
        per: Per = "ensemble",
    ) -> None:
        """temperature `z` [degC] and salinity `z`: the training states' mean profiles."""
        check_levels(grid, temperature, salinity, *scales)
        self._mean = HorizontalMean(grid, per=per)
        self._profiles = (temperature, salinity)
        self._weights = [_level_weights(grid, scale) for scale in scales]

    def __call__(self, state: State) -> Tensor:
        """The energy of each sample, `b`."""
        fields = (state.temperature, state.salinity)
        errors = [
            self._mean(field) - profile.to(field)
            for field, profile in zip(fields, self._profiles, strict=True)
        ]
        return half_squares(errors, self._weights)


class MeanDensityProfile:
    """Half the mean squared distance of the horizontal-mean potential density to a given profile.

    density: `z` [kg/m3], referenced to the surface
    std: [kg/m3], the units: `z` for means, `z-1` for steps
    steps: judge the differences of neighbouring levels' means instead of the means

    The two constraints of Gorce et al. 2025 ("Physically consistent sampling for ocean model
    initialization", NeurIPS CCAI workshop): C1 of the means, C2 (`steps=True`) of their
    differences. They see the mean column, never a single one.
    """

    def __init__(
        self,
        grid: OceanGrid,
        eos: EquationOfState,
        density: Tensor,
        std: Tensor,
        *,
        steps: bool = False,
        per: Per = "sample",
    ) -> None:
        check_levels(grid, density)
        check_levels(grid, std, below=int(steps))
        self._mean, self._eos = HorizontalMean(grid, per=per), eos
        self._density, self._steps = density, steps
        self._weights = _level_weights(grid, std)

    def __call__(self, state: State) -> Tensor:
        """The energy of each sample, `b`."""
        density = self._eos.density(state.temperature, state.salinity, 0.0)
        # Anomalies keep, in float32, the digits that a mean of 1027 kg/m3 would lose.
        error = self._mean(density - self._density.to(density)[:, None, None])
        return half_squares([error.diff(dim=1) if self._steps else error], [self._weights])


class MeanSettings(TermSettings):
    """Options of constraints on horizontal means."""

    per: Per = Field("sample", description="whether means are each sample's or the batch's")

    @property
    def couples_samples(self) -> bool:
        """Whether the means are the batch's."""
        return self.per == "ensemble"


class MeanProfileSettings(MeanSettings):
    """Horizontal means of T and S, those of the training states."""

    name: ClassVar = "mean_profile"

    def build(self, ocean: Ocean) -> MeanProfile:
        """The constraint for states of an ocean."""
        mean = HorizontalMean(ocean.grid, per="sample")
        temperature, salinity = mean(ocean.mean.temperature)[0], mean(ocean.mean.salinity)[0]
        return MeanProfile(ocean.grid, temperature, salinity, ocean.scales, per=self.per)


class DensityProfileSettings(MeanSettings):
    """Horizontal means of density, those of the training states."""

    name: ClassVar = "density_profile"

    def build(self, ocean: Ocean) -> MeanDensityProfile:
        """The constraint for states of an ocean."""
        known = ocean.climatology()
        return MeanDensityProfile(
            ocean.grid, ocean.eos, known.density, known.density_std, per=self.per
        )


class DensityStepsSettings(MeanSettings):
    """Differences of neighbouring levels' mean densities, those of the training states."""

    name: ClassVar = "density_steps"

    def build(self, ocean: Ocean) -> MeanDensityProfile:
        """The constraint for states of an ocean."""
        known = ocean.climatology()
        return MeanDensityProfile(
            ocean.grid, ocean.eos, known.density, known.step_std, steps=True, per=self.per
        )


def _level_weights(grid: OceanGrid, scale: Tensor) -> Tensor:
    """Weight of each level's or interface's squared error: its share of the wet cells or pairs."""
    wet = wet_tensor(grid)
    cells = (wet if len(scale) == len(wet) else wet_pairs(wet)).sum((1, 2))
    return cells * inverse_square(scale) / cells.sum()
