"""All metrics of one row of a table: states compared with held-out states and training states.

Stability is reported together with mixed-layer depth, variance and distances between distributions,
because stratifying the mixed layer or reducing variance also lowers the density error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.distances import mean_profile_error, w1
from evaluation.metrics.fronts import front_metrics
from evaluation.metrics.labels import Labels
from evaluation.metrics.members import Members, member_metrics
from evaluation.metrics.moments import moment_metrics
from evaluation.metrics.novelty import IndependentDistances, novelty_metrics
from evaluation.metrics.season import SeasonalCycle, season_metrics
from evaluation.metrics.spectra import band_metrics, small_scale_ratio, zonal_spectra
from evaluation.metrics.stability import (
    density_error_percent,
    density_error_surface_teos10_percent,
    mixed_layer_depth,
    near_neutral_pairs_percent,
)
from evaluation.metrics.stratification import stratification_metrics
from evaluation.metrics.ts_diagram import ts_metrics
from evaluation.metrics.variance import variance_metrics
from evaluation.metrics.weights import column_area, weighted_mean, weighted_quantile
from guidance.seawater import EquationOfState


@dataclass(frozen=True)
class TrainingStates:
    """The training states of a model with their labels, and what metrics derive from them once."""

    states: State
    labels: Labels
    grid: OceanGrid

    @cached_property
    def members(self) -> Members:
        """Their ensemble members."""
        return Members.of(self.states, self.labels, self.grid)

    @cached_property
    def cycle(self) -> SeasonalCycle | None:
        """Their seasonal cycle, if they have one."""
        return SeasonalCycle.of(self.states, self.labels, self.grid)

    @cached_property
    def independent(self) -> IndependentDistances:
        """Distances between those of them that are independent."""
        return IndependentDistances.of(self.states, self.labels, self.grid)


@dataclass(frozen=True)
class EvaluationContext:
    """Grid, equation of state and training states for the evaluation of all rows.

    eos: equation of state of the data; training: the training states; without them the metrics that
    compare with them are left out
    """

    grid: OceanGrid
    eos: EquationOfState
    training: TrainingStates | None = None

    @cached_property
    def area(self) -> Tensor:
        """Area of the water columns `y x` [m2]."""
        return column_area(self.grid)


def evaluate_row(
    state: State, truth: State, context: EvaluationContext, *, climate: Tensor | None = None
) -> dict[str, float]:
    """All metrics of `state`, compared with held-out `truth`; units are in `COLUMNS`.

    climate: number `b` of each state's climate, where it is known (`evaluation.climates`); else
        that of the nearest training member

    The row of the truth is `evaluate_row(truth, truth, context)`, with ratios 1 and distances 0.
    Without the two-sample tests, which train networks: see `evaluation.metrics.classifier`.
    """
    return {
        "states": len(state),
        **_stability(state, context),
        **_mixed_layer(state, truth, context),
        **_distribution(state, truth, context),
        **_structure(state, truth, context),
        **_against_training(state, context, climate),
    }


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
    grid = context.grid
    temperature, salinity = state.temperature, state.salinity
    return {
        "w1_temperature_K": w1(temperature, truth.temperature, grid),
        "w1_salinity": w1(salinity, truth.salinity, grid),
        "mean_profile_error_temperature_K": mean_profile_error(
            temperature, truth.temperature, grid
        ),
        "mean_profile_error_salinity": mean_profile_error(salinity, truth.salinity, grid),
        **ts_metrics(state, truth, grid),
        **stratification_metrics(state, truth, grid, context.eos),
        **variance_metrics(state, truth, grid, suffix=""),
        **moment_metrics(state, truth, grid),
    }


def _structure(state: State, truth: State, context: EvaluationContext) -> dict[str, float]:
    """Fronts, and spectra of anomalies from each set's own mean.

    From the mean of the truth, even perfect states would have too much power: by 2 / N for N
    independent states of the truth.
    """
    grid = context.grid
    zero = torch.zeros(grid.shape, dtype=torch.float64)
    ours, theirs = _anomalies(state), _anomalies(truth)
    spectra = (zonal_spectra(one.temperature, grid, climatology=zero) for one in (ours, theirs))
    return {
        "spectra_ratio_small_scales": small_scale_ratio(*spectra),
        **band_metrics(ours, theirs, grid, climatology=zero),
        **front_metrics(state, truth, grid),
    }


def _anomalies(states: State) -> State:
    """States minus their mean, scaled so that their squares estimate the variance without bias."""
    scale = (len(states) / max(len(states) - 1, 1)) ** 0.5
    return states.map(lambda field: scale * (field.double() - field.double().mean(dim=0)))


def _against_training(
    state: State, context: EvaluationContext, climate: Tensor | None
) -> dict[str, float]:
    training, grid = context.training, context.grid
    if training is None:
        return {}
    return {
        **variance_metrics(state, training.states, grid, suffix="_training"),
        **member_metrics(state, training.members, grid, group=climate),
        **season_metrics(state, training.cycle, grid),
        **novelty_metrics(state, training.states, training.independent, grid),
    }


def _mean(values: Tensor) -> float:
    return float(values.mean())
