"""All metrics of one row of a table: states compared with held-out states.

Stability is reported together with mixed-layer depth, variance and distances between distributions,
because stratifying the mixed layer or reducing variance also lowers the density error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.distances import mean_profile_error, nearest_neighbour_distance, w1
from evaluation.metrics.spectra import small_scale_ratio, zonal_spectra
from evaluation.metrics.stability import (
    density_error_percent,
    density_error_surface_teos10_percent,
    mixed_layer_depth,
    near_neutral_pairs_percent,
)
from evaluation.metrics.variance import variance_ratio
from evaluation.metrics.weights import column_area, weighted_mean, weighted_quantile
from guidance.seawater import EquationOfState

COPY_DISTANCE = 1e-6  # smaller distances between states are round-off


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


def _mean(values: Tensor) -> float:
    return float(values.mean())
