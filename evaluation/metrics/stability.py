"""Static stability and mixed layers of states."""

from __future__ import annotations

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.metrics.weights import cell_volume, interface_depth, over_batches
from guidance.seawater import EquationOfState, equation_of_state, sigma0
from guidance.stratification import density_steps, wet_pairs

UNSTABLE_STEP = 1e-3  # kg/m3; order of the rounding error of stored T and S
NEUTRAL_STEP = 1e-3  # kg/m3
MIXED_LAYER_CRITERION = 0.03  # kg/m3, de Boyer Montegut et al. (2004)


def density_error_percent(
    state: State, grid: OceanGrid, eos: EquationOfState, *, threshold: float = UNSTABLE_STEP
) -> Tensor:
    """Share `b` of the wet volume that is statically unstable [%].

    A cell is unstable if the water below it is lighter by more than `threshold` [kg/m3], with both
    densities referenced to the interface. Threshold 0 counts every inversion, including those from
    rounding.
    """
    wet, depth = wet_tensor(grid), interface_depth(grid)

    def share(batch: State) -> Tensor:
        steps = density_steps(batch, eos=eos, interface_depth=depth)
        return _unstable_percent(steps < -threshold, wet, grid)

    return over_batches(state, share)


def density_error_surface_teos10_percent(state: State, grid: OceanGrid) -> Tensor:
    """The density error `b` [%] of Meunier et al. (2025, arXiv 2502.02499, appendix C.2).

    Volume share of cells with rho0(k+1) - rho0(k) < 0, where rho0 is the surface-referenced TEOS-10
    polynomial of NEMO. It includes water that is stable in situ (Antarctic Bottom Water), so the
    target is the value of the truth. Salinity is not converted, as in the paper.
    """
    eos, wet = equation_of_state("nemo-teos10"), wet_tensor(grid)

    def share(batch: State) -> Tensor:
        density = sigma0(eos, batch.temperature, batch.salinity)
        return _unstable_percent(density.diff(dim=1) < 0, wet, grid)

    return over_batches(state, share)


def near_neutral_pairs_percent(
    state: State, grid: OceanGrid, eos: EquationOfState, *, threshold: float = NEUTRAL_STEP
) -> Tensor:
    """Share `b` of wet vertical pairs whose density step is within `threshold` [kg/m3] of 0 [%].

    These are mixed layers and convecting columns. A sampler that lowers the density error by
    stratifying them also lowers this share.
    """
    pairs, depth = wet_pairs(wet_tensor(grid)), interface_depth(grid)

    def share(batch: State) -> Tensor:
        steps = density_steps(batch, eos=eos, interface_depth=depth)
        return 100 * ((steps.abs() < threshold) & pairs).sum(dim=(1, 2, 3)) / pairs.sum()

    return over_batches(state, share)


def overturning_columns_percent(state: State, grid: OceanGrid, eos: EquationOfState) -> float:
    """Share of columns with any static instability, without a threshold [%].

    Counts columns of at least two wet cells; exact adjustment changes the unstable ones.
    """
    pairs, depth = wet_pairs(wet_tensor(grid)), interface_depth(grid)

    def share(batch: State) -> Tensor:
        steps = density_steps(batch, eos=eos, interface_depth=depth)
        return 100 * ((steps < 0) & pairs).any(1).sum(dim=(1, 2)) / pairs.any(0).sum()

    return float(over_batches(state, share).mean())


def mixed_layer_depth(
    state: State,
    grid: OceanGrid,
    eos: EquationOfState,
    *,
    criterion: float = MIXED_LAYER_CRITERION,
) -> Tensor:
    """Mixed-layer depth `b y x` [m], NaN on land.

    Depth at which sigma0 first exceeds its value in the top level by `criterion` [kg/m3] (de Boyer
    Montegut et al. 2004), linear between cell centres; the sea floor if it never does.
    """
    wet = wet_tensor(grid)
    centres = torch.tensor(grid.depth, dtype=torch.float64)
    floor = torch.tensor(grid.thickness * grid.wet, dtype=torch.float64).sum(dim=0)

    def depth(batch: State) -> Tensor:
        density = sigma0(eos, batch.temperature, batch.salinity)
        excess = torch.where(wet, density - density[:, :1], -torch.inf)
        crossing = _first_crossing(excess, centres, criterion)
        deep = torch.where(torch.isnan(crossing), floor, crossing)
        return torch.where(wet[0], deep, torch.nan)

    return over_batches(state, depth)


def potential_density(state: State, eos: EquationOfState) -> Tensor:
    """Potential density anomaly sigma0 `b z y x` [kg/m3], referenced to the surface."""
    return over_batches(state, lambda batch: sigma0(eos, batch.temperature, batch.salinity))


def _unstable_percent(unstable: Tensor, wet: Tensor, grid: OceanGrid) -> Tensor:
    volume = cell_volume(grid)
    counted = unstable & wet_pairs(wet)
    return 100 * (counted * volume[:-1]).sum(dim=(1, 2, 3)) / volume.sum()


def _first_crossing(excess: Tensor, centres: Tensor, criterion: float) -> Tensor:
    """Depth `b y x` [m] where `excess` `b z y x` first exceeds `criterion`; NaN if never."""
    beyond = excess > criterion
    below = beyond.int().argmax(dim=1, keepdim=True).clamp(min=1)
    lower, upper = excess.gather(1, below), excess.gather(1, below - 1)
    fraction = (criterion - upper) / (lower - upper)
    depth = centres[below - 1] + fraction * (centres[below] - centres[below - 1])
    return torch.where(beyond.any(dim=1), depth[:, 0], torch.nan)
