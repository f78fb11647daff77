"""Metrics of states: pure functions of physical states and their grid, in float64.

Stability is reported together with mixed-layer depth, variance and distances between distributions,
because stratifying the mixed layer or reducing variance also lowers the density error. `COLUMNS`
defines name, unit and meaning of each metric in tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.distances import mean_profile_error, nearest_neighbour_distance, w1
from evaluation.spectra import small_scale_ratio, zonal_spectra
from evaluation.weights import (
    cell_volume,
    column_area,
    interface_depth,
    over_batches,
    weighted_mean,
    weighted_quantile,
)
from guidance.seawater import EquationOfState, equation_of_state, sigma0
from guidance.stratification import density_steps, wet_pairs

UNSTABLE_STEP = 1e-3  # kg/m3; order of the rounding error of stored T and S
NEUTRAL_STEP = 1e-3  # kg/m3
COPY_DISTANCE = 1e-6  # smaller distances between states are round-off
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


def variance_ratio(generated: Tensor, truth: Tensor, weights: Tensor) -> float:
    """Pointwise variance over the samples, area-weighted mean over cells, generated / truth.

    generated, truth: `b y x`; weights: `y x`. The target is 1; smaller values mean lost diversity.
    NaN with fewer than two samples or a constant truth.
    """
    if len(generated) < 2 or len(truth) < 2:
        return float("nan")
    numerator, denominator = (
        float(weighted_mean(field.double().var(dim=0), weights)) for field in (generated, truth)
    )
    return numerator / denominator if denominator > 0 else float("nan")


COLUMNS = (
    Column("states", "states", "", "number of states"),
    Column(
        "density_error_percent", "density error", "%",
        "volume of water heavier than the water below it by more than 0.001 kg/m³ (locally "
        "referenced, equation of state of the data); target: the value of the truth",
    ),
    Column(
        "density_error_strict_percent", "density error, strict", "%",
        "density error without threshold; includes rounding of stored fields",
    ),
    Column(
        "density_error_surface_teos10_percent", "density error, surface TEOS-10", "%",
        "as in Meunier et al. (2025): surface-referenced TEOS-10 polynomial, no threshold; "
        "includes deep water that is stable in situ; target: the value of the truth",
    ),
    Column(
        "near_neutral_pairs_percent", "near-neutral pairs", "%",
        "vertical pairs of cells with densities within 0.001 kg/m³; below the truth: stratified "
        "mixed layers",
    ),
    Column(
        "mixed_layer_depth_mean_m", "mixed layer, mean", "m",
        "depth at which σ₀ exceeds that of the top level by 0.03 kg/m³, mean over area and states",
    ),
    Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m", "over area and states"),
    Column(
        "mixed_layer_depth_bias_m", "mixed layer, bias", "m",
        "difference of the mean from the truth; negative: too stratified",
    ),
    Column(
        "variance_ratio_surface_temperature", "variance ratio, surface T", "",
        "variance over the states, generated / truth; target: 1; below: lost diversity",
    ),
    Column(
        "variance_ratio_surface_salinity", "variance ratio, surface S", "",
        "variance over the states, generated / truth; target: 1; below: lost diversity",
    ),
    Column(
        "w1_temperature_K", "W₁ of T", "K",
        "Wasserstein-1 distance of the values at each level, mean over depth; target: 0",
    ),
    Column(
        "w1_salinity", "W₁ of S", "10⁻³",
        "Wasserstein-1 distance of the values at each level, mean over depth; target: 0",
    ),
    Column(
        "mean_profile_error_temperature_K", "mean-profile error of T", "K",
        "rms over depth of the bias of the horizontal and ensemble mean; target: 0",
    ),
    Column(
        "mean_profile_error_salinity", "mean-profile error of S", "10⁻³",
        "rms over depth of the bias of the horizontal and ensemble mean; target: 0",
    ),
    Column(
        "spectra_ratio_small_scales", "small-scale power", "",
        "power of T anomalies at short zonal wavelengths, generated / truth; below 1: too smooth",
    ),
    Column(
        "nearest_neighbour_ratio", "nearest neighbour", "",
        "distance to the nearest training state, generated / held-out; far below 1: copies",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class EvaluationContext:
    """Grid, equation of state and training states for the evaluation of all rows.

    eos: equation of state of the data; training: training states, to detect copies (without them
    `nearest_neighbour_ratio` is NaN)
    """

    grid: OceanGrid
    eos: EquationOfState
    training: State | None = None

    @cached_property
    def area(self) -> Tensor:
        """Area of the water columns `y x` [m2]."""
        return column_area(self.grid)


def evaluate_row(state: State, truth: State, context: EvaluationContext) -> dict[str, float]:
    """All metrics of `state`, compared with held-out `truth`; units are in `COLUMNS`.

    The row of the truth is `evaluate_row(truth, truth, context)`, with ratios 1 and distances 0.
    """
    return {
        "states": len(state),
        **_stability(state, context),
        **_mixed_layer(state, truth, context),
        **_distribution(state, truth, context),
        "spectra_ratio_small_scales": _spectra_ratio(state, truth, context.grid),
        "nearest_neighbour_ratio": nearest_neighbour_ratio(
            state, context.training, truth, context.grid
        ),
    }


def nearest_neighbour_ratio(
    generated: State, training: State | None, test: State, grid: OceanGrid
) -> float:
    """Median distance to the nearest training state, generated / held-out.

    About 1 for samples as new as held-out states, far below 1 for copies. NaN without training
    states, or if the held-out states are copies.
    """
    if training is None:
        return float("nan")
    reference = float(nearest_neighbour_distance(test, training, grid).median())
    distance = float(nearest_neighbour_distance(generated, training, grid).median())
    return distance / reference if reference > COPY_DISTANCE else float("nan")


def _stability(state: State, context: EvaluationContext) -> dict[str, float]:
    grid, eos = context.grid, context.eos
    return {
        "density_error_percent": _mean(density_error_percent(state, grid, eos)),
        "density_error_strict_percent": _mean(
            density_error_percent(state, grid, eos, threshold=0.0)
        ),
        "density_error_surface_teos10_percent": _mean(
            density_error_surface_teos10_percent(state, grid)
        ),
        "near_neutral_pairs_percent": _mean(near_neutral_pairs_percent(state, grid, eos)),
    }


def _mixed_layer(state: State, truth: State, context: EvaluationContext) -> dict[str, float]:
    depth = mixed_layer_depth(state, context.grid, context.eos)
    true_depth = mixed_layer_depth(truth, context.grid, context.eos)
    mean = _mean(weighted_mean(depth, context.area))
    return {
        "mixed_layer_depth_mean_m": mean,
        "mixed_layer_depth_p90_m": weighted_quantile(depth, context.area.expand_as(depth), 0.9),
        "mixed_layer_depth_bias_m": mean - _mean(weighted_mean(true_depth, context.area)),
    }


def _distribution(state: State, truth: State, context: EvaluationContext) -> dict[str, float]:
    grid, area = context.grid, context.area
    temperature, salinity = state.temperature, state.salinity
    return {
        "variance_ratio_surface_temperature": variance_ratio(
            temperature[:, 0], truth.temperature[:, 0], area
        ),
        "variance_ratio_surface_salinity": variance_ratio(
            salinity[:, 0], truth.salinity[:, 0], area
        ),
        "w1_temperature_K": w1(temperature, truth.temperature, grid),
        "w1_salinity": w1(salinity, truth.salinity, grid),
        "mean_profile_error_temperature_K": mean_profile_error(
            temperature, truth.temperature, grid
        ),
        "mean_profile_error_salinity": mean_profile_error(salinity, truth.salinity, grid),
    }


def _spectra_ratio(state: State, truth: State, grid: OceanGrid) -> float:
    climatology = truth.temperature.double().mean(dim=0)
    generated, true = (
        zonal_spectra(field, grid, climatology=climatology)
        for field in (state.temperature, truth.temperature)
    )
    return small_scale_ratio(generated, true)


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


def _mean(values: Tensor) -> float:
    return float(values.mean())
