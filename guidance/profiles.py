"""Constraints on profiles of horizontal means.

Applied to each sample they reduce variance, because the means of true states vary. Applied to the
ensemble mean (`per="ensemble"`) they shift all samples equally and preserve the spread.
"""

from __future__ import annotations

from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.settings import Per
from data.state import State
from guidance.climatology import HorizontalMean
from guidance.seawater import EquationOfState
from guidance.stratification import wet_pairs
from guidance.term_settings import DensityProfileSettings, MeanProfileSettings
from guidance.terms import (
    Ocean,
    Scales,
    check_levels,
    half_squares,
    inverse_square,
)


class MeanProfile:
    """Half the mean squared distance of the horizontal-mean T and S profiles to given profiles.

    The "hydrostatic" constraint of Meunier et al. 2025 (arXiv 2502.02499, eq. 2), who use
    `per="sample"`. Means are weighted by wet area; distances are in units of `scales` and averaged
    over all wet cells, so that one Polyak step in data space corrects every level exactly.
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
    std: scale of the distances [kg/m3], `z` for means, `z-1` for steps
    steps: compare differences between neighbouring levels instead of the means

    The two constraints of Gorce et al. 2025 ("Physically consistent sampling for ocean model
    initialization", NeurIPS CCAI workshop): C1 for the means, C2 (`steps=True`) for their
    differences. Both constrain only the mean column.
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
        # In float32, anomalies have digits that densities near 1027 kg/m3 do not have.
        error = self._mean(density - self._density.to(density)[:, None, None])
        return half_squares([error.diff(dim=1) if self._steps else error], [self._weights])


def mean_profile(settings: MeanProfileSettings, ocean: Ocean) -> MeanProfile:
    """The constraint for states of an ocean."""
    mean = HorizontalMean(ocean.grid, per="sample")
    temperature, salinity = mean(ocean.mean.temperature)[0], mean(ocean.mean.salinity)[0]
    return MeanProfile(ocean.grid, temperature, salinity, ocean.scales, per=settings.per)


def density_profile(settings: DensityProfileSettings, ocean: Ocean) -> MeanDensityProfile:
    """The constraint for states of an ocean."""
    statistics = ocean.climatology()
    std = statistics.step_std if settings.steps else statistics.density_std
    return MeanDensityProfile(
        ocean.grid, ocean.eos, statistics.density, std, steps=settings.steps, per=settings.per
    )


def _level_weights(grid: OceanGrid, scale: Tensor) -> Tensor:
    """Weight of each level or interface: its fraction of wet cells or pairs over scale^2."""
    wet = wet_tensor(grid)
    cells = (wet if len(scale) == len(wet) else wet_pairs(wet)).sum((1, 2))
    return cells * inverse_square(scale) / cells.sum()
