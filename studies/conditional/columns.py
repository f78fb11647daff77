"""The columns of the study: what is said of the states of a row against a member's own states."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from torch import Tensor

from data.conditions import Conditions, ConditionSpace
from data.grid import OceanGrid
from data.salinity import SALINITY_UNIT
from data.state import State
from evaluation.baselines import mean_state
from evaluation.columns import Column
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.metrics.variance import (
    FIELDS,
    pointwise_variance,
    ratio_by_level,
    weighted_mean_by_level,
)
from evaluation.metrics.weights import cell_volume, level_thickness, weighted_mean
from studies.conditional.cells import FloatArray

UNITS = {"temperature": "K", "salinity": SALINITY_UNIT}
BANDS = {"surface": "surface", "thermocline": "100-1000 m", "deep": "below 1000 m"}
# Errors in percent of the truth, and the metric of `evaluate_row`.
RELATIVE = {
    "mixed_layer_mean_error_percent": "mixed_layer_depth_mean_m",
    "mixed_layer_p90_error_percent": "mixed_layer_depth_p90_m",
    "near_neutral_error_percent": "near_neutral_pairs_percent",
}
KEPT = ("states", "w1_temperature_K", "w1_salinity", "density_error_percent", *RELATIVE.values())

MEAN = (
    *(Column(f"rmse_{f}", f"RMSE of mean {s}", UNITS[f], target=0.0) for f, s in FIELDS.items()),
    *(
        Column(f"rmse_of_mean_{f}", f"RMSE of mean {s} less sampling noise", UNITS[f], target=0.0)
        for f, s in FIELDS.items()
    ),
)
VARIANCE = tuple(
    Column(f"variance_ratio_{band}_{f}", f"variance of {s}, {title}", target=1.0)
    for (f, s), (band, title) in product(FIELDS.items(), BANDS.items())
)
DISTRIBUTION = (
    Column("w1_temperature_K", "W₁ of T", "K", target=0.0),
    Column("w1_salinity", "W₁ of S", SALINITY_UNIT, target=0.0),
    Column("density_error_percent", "density error", "%", target=0.0),
    Column("mixed_layer_mean_error_percent", "mixed layer, mean, error", "%", target=0.0),
    Column("mixed_layer_p90_error_percent", "mixed layer, 90th percentile, error", "%", target=0.0),
    Column("near_neutral_error_percent", "near-neutral pairs, error", "%", target=0.0),
)
COLUMNS = (*MEAN, *VARIANCE, *DISTRIBUTION)

Row = dict[str, float]
Profiles = dict[str, list[float]]


@dataclass(frozen=True)
class Truth:
    """The states that a row is compared with."""

    states: State
    context: EvaluationContext

    @cached_property
    def mean(self) -> State:
        """Their mean state."""
        return mean_state(self.states.map(lambda field: field.double()))

    @cached_property
    def variances(self) -> dict[str, Tensor]:
        """Their variance at each level, `z`, by field."""
        return level_variances(self.states, self.context.grid)

    @cached_property
    def metrics(self) -> Row:
        """Their metrics, for errors relative to them."""
        return evaluate_row(self.states, self.states, self.context)


def judge(states: State, truth: Truth, *, course: FloatArray | None = None) -> Row:
    """All columns of the states of a row.

    course: `b t`, as `ConditionSpace.course`, of states that are independent given their
        conditions; without it, their sampling noise is not known
    """
    grid = truth.context.grid
    metrics = evaluate_row(states, truth.states, truth.context)
    return {
        **judge_mean(states, truth, noise=sampling_noise(states, course, grid)),
        **_variances(level_variances(states, grid), truth),
        **{name: metrics[name] for name in KEPT},
        **{
            name: 100 * (metrics[of] / truth.metrics[of] - 1) if truth.metrics[of] else np.nan
            for name, of in RELATIVE.items()
        },
    }


def judge_mean(states: State, truth: Truth, *, noise: dict[str, float] | None = None) -> Row:
    """Volume rms of the mean of states minus that of the truth, with and without sampling noise.

    noise: mean square of the sampling error of the mean of the states, by field; default: 0
    """
    volume = cell_volume(truth.context.grid)
    row = {}
    for field in FIELDS:
        square = float(weighted_mean(_difference(states, truth, field).square(), volume))
        without = square - (noise[field] if noise else 0.0)
        row[f"rmse_{field}"] = square**0.5
        row[f"rmse_of_mean_{field}"] = max(without, 0.0) ** 0.5 if without == without else np.nan
    return row


def sampling_noise(states: State, course: FloatArray | None, grid: OceanGrid) -> dict[str, float]:
    """Mean square, over the volume, of the sampling error of the mean of states, by field.

    The states are independent given their conditions, which are those of the truth: what the
    conditions explain, linearly in the `course` `b t`, is no noise. NaN without a course.
    """
    if course is None:
        return dict.fromkeys(FIELDS, np.nan)
    volume, basis = cell_volume(grid), torch.from_numpy(np.linalg.qr(course)[0])
    freedom = max(len(states) - int(np.linalg.matrix_rank(course)), 1)
    noise = {}
    for field in FIELDS:
        square = torch.zeros(grid.shape, dtype=torch.float64)
        for level, values in enumerate(getattr(states, field).unbind(dim=1)):
            flat = values.double().flatten(1)
            square[level] = (flat - basis @ (basis.T @ flat)).square().sum(0).view(square[0].shape)
        noise[field] = float(weighted_mean(square, volume)) / freedom / len(states)
    return noise


def profiles(states: State, truth: Truth) -> Profiles:
    """By level, `z`: rms error of the mean, and variance relative to the truth, of T and S."""
    volume = cell_volume(truth.context.grid)
    result = {}
    for field in FIELDS:
        square = _difference(states, truth, field).square()
        result[f"error_{field}"] = weighted_mean_by_level(square, volume).sqrt().tolist()
        if len(states) > 1:
            variance = level_variances(states, truth.context.grid)[field]
            ratio = ratio_by_level(variance, truth.variances[field])
            result[f"variance_{field}"] = ratio.tolist()
    return result


def level_variances(states: State, grid: OceanGrid) -> dict[str, Tensor]:
    """Variance over the states about their mean, mean over each level, `z`, by field."""
    volume = cell_volume(grid)
    return {
        field: weighted_mean_by_level(pointwise_variance(getattr(states, field)), volume)
        for field in FIELDS
    }


def course_of(space: ConditionSpace, conditions: Conditions) -> FloatArray:
    """The columns of `ConditionSpace.course` that tell these conditions apart, and the 1."""
    course = space.course(conditions)
    varies = np.ptp(course, axis=0) > 0
    varies[0] = True
    return course[:, varies]


def band_levels(grid: OceanGrid) -> dict[str, Tensor]:
    """Thickness `z` of the levels of each band, 0 outside it."""
    depth, thickness = torch.from_numpy(grid.depth), level_thickness(grid)
    first = torch.arange(len(depth)) == 0
    masks = {
        "surface": first,
        "thermocline": ~first & (depth >= 100) & (depth <= 1000),
        "deep": ~first & (depth > 1000),
    }
    return {name: torch.where(mask, thickness, 0.0) for name, mask in masks.items()}


def _variances(variances: dict[str, Tensor], truth: Truth) -> Row:
    """Variance of each band and field, and its ratio to that of the truth; NaN without levels."""
    row = {}
    bands = band_levels(truth.context.grid)
    for field, (band, thickness) in product(FIELDS, bands.items()):
        ours, theirs = (
            float(weighted_mean(one[field], thickness)) for one in (variances, truth.variances)
        )
        row[f"variance_{band}_{field}"] = ours
        row[f"variance_ratio_{band}_{field}"] = ours / theirs if theirs > 0 else np.nan
    return row


def _difference(states: State, truth: Truth, field: str) -> Tensor:
    mean = getattr(states, field).double().mean(dim=0)
    return mean - getattr(truth.mean, field)[0]
