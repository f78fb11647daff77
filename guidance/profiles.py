"""Constraints on means over the ocean: profiles of horizontal means, and budgets of heat and salt.

Given to each sample they cost variance, for real states differ in their means; given to the
ensemble's mean alone (`per="ensemble"`) they shift all samples alike and leave their spread.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.constraints import Scales, check_levels, half_squares, inverse_square
from guidance.seawater import EquationOfState
from guidance.stratification import wet_pairs

Per = Literal["sample", "ensemble"]


class HorizontalMean:
    """Means over the wet area of each level, of each sample or of the batch.

    of the ensemble, every sample is given the batch's mean, and with it the batch's energy.
    """

    def __init__(self, grid: OceanGrid, *, per: Per) -> None:
        if per not in ("sample", "ensemble"):
            raise UserError(f"A mean is per {per!r}; write 'sample' or 'ensemble'.")
        self._per = per
        area = torch.from_numpy(grid.area) * wet_tensor(grid)
        self._share = area / area.sum((1, 2), keepdim=True).clamp(min=torch.finfo().tiny)

    def __call__(self, field: Tensor) -> Tensor:
        """`b z y x` to `b z`."""
        return _of_batch((self._share.to(field) * field).sum((2, 3)), self._per)


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
        density = self._eos.density(state.temperature, state.salinity, 0.0)
        # Anomalies keep, in float32, the digits that a mean of 1027 kg/m3 would lose.
        error = self._mean(density - self._density.to(density)[:, None, None])
        return half_squares([error.diff(dim=1) if self._steps else error], [self._weights])


class Budget:
    """Half the squared distance of the ocean's heat and salt content to given ones.

    Given and judged as volume means, temperature [degC] and salinity, in units of their standard
    deviation among true states (a temperature and a salinity; 0 leaves one out).
    """

    def __init__(
        self,
        grid: OceanGrid,
        temperature: float,
        salinity: float,
        std: tuple[float, float],
        *,
        per: Per = "ensemble",
    ) -> None:
        volume = torch.from_numpy(grid.thickness * grid.area) * wet_tensor(grid)
        self._share, self._per = volume / volume.sum(), per
        self._targets = (temperature, salinity)
        self._weights = [inverse_square(torch.tensor([value])) for value in std]

    def __call__(self, state: State) -> Tensor:
        fields = (state.temperature, state.salinity)
        errors = [
            _of_batch((self._share.to(field) * field).sum((1, 2, 3))[:, None], self._per) - target
            for field, target in zip(fields, self._targets, strict=True)
        ]
        return half_squares(errors, self._weights)


def _of_batch(means: Tensor, per: Per) -> Tensor:
    """Means `b k` of each sample, or all rows the batch's."""
    return means if per == "sample" else means.mean(0, keepdim=True).expand_as(means)


def _level_weights(grid: OceanGrid, scale: Tensor) -> Tensor:
    """Weight of each level's or interface's squared error: its share of the wet cells or pairs."""
    wet = wet_tensor(grid)
    cells = (wet if len(scale) == len(wet) else wet_pairs(wet)).sum((1, 2))
    return cells * inverse_square(scale) / cells.sum()
