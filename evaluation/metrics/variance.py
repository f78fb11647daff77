"""Variance of states over an ensemble: its size by level and its pattern."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.weights import cell_volume, mean_over_levels, weighted_mean

FIELDS = {"temperature": "T", "salinity": "S"}
# Smaller standard deviations (K, 1e-3) are round-off of fields stored as float32.
ROUND_OFF = 1e-6
NAN = float("nan")


def variance_ratio(generated: Tensor, truth: Tensor, weights: Tensor) -> float:
    """Pointwise variance over the samples, area-weighted mean over cells, generated / truth.

    generated, truth: `b y x`; weights: `y x`. The target is 1; smaller values mean lost diversity.
    NaN with fewer than two samples or a constant truth.
    """
    if len(generated) < 2 or len(truth) < 2:
        return NAN
    numerator, denominator = (
        float(weighted_mean(pointwise_variance(field), weights)) for field in (generated, truth)
    )
    return numerator / denominator if denominator > 0 else NAN


def variance_metrics(
    state: State, reference: State, grid: OceanGrid, *, suffix: str
) -> dict[str, float]:
    """Variance of `state` over its samples compared with `reference`, by level and by pattern.

    suffix: ends the keys; "" against the truth, "_training" against the training states. Ratios
    are those of `variance_profiles`, patterns those of `pattern_profiles`; means over the levels
    are weighted by thickness. NaN with fewer than two samples or a constant reference.
    """
    ratios, patterns = (
        {name: torch.tensor(values, dtype=torch.float64) for name, values in profiles.items()}
        for profiles in (
            variance_profiles(state, reference, grid),
            pattern_profiles(state, reference, grid),
        )
    )
    metrics: dict[str, float] = {}
    for name in FIELDS:
        metrics |= {
            f"variance_ratio_surface_{name}": float(ratios[name][0]),
            f"variance_ratio_mean_{name}": mean_over_levels(ratios[name], grid),
            f"variance_ratio_smallest_{name}": smallest(ratios[name]),
            f"variance_ratio_largest_{name}": largest(ratios[name]),
            f"variance_pattern_surface_{name}": float(patterns[name][0]),
            f"variance_pattern_mean_{name}": mean_over_levels(patterns[name], grid),
        }
    return {key + suffix: value for key, value in metrics.items()}


def variance_profiles(state: State, reference: State, grid: OceanGrid) -> dict[str, list[float]]:
    """Variance ratio at each level, state / reference: `z` values for "temperature", "salinity".

    The pointwise variance over the samples, volume-weighted mean over the cells of a level. NaN at
    levels without ocean or with a constant reference, everywhere with fewer than two samples.
    """
    volume = cell_volume(grid)
    profiles = {}
    for name in FIELDS:
        ours, theirs = (
            weighted_mean_by_level(pointwise_variance(getattr(x, name)), volume)
            for x in (state, reference)
        )
        profiles[name] = ratio_by_level(ours, theirs).tolist()
    return profiles


def pattern_profiles(state: State, reference: State, grid: OceanGrid) -> dict[str, list[float]]:
    """Correlation of the maps of the standard deviation over the samples, at each level.

    `z` values for "temperature" and "salinity": the area-weighted pattern correlation of the
    state's and the reference's map over the wet cells of a level. The ratio of variances can be 1
    with the maximum in the wrong place; this correlation then is low. The standard deviation,
    rather than the variance, so that the few cells of the largest variance do not decide alone;
    nor its logarithm, which would weigh quiet cells as much. NaN at levels where a map is constant
    or without ocean, everywhere with fewer than two samples.
    """
    return {
        name: [
            _map_correlation(*maps, grid, level)
            for level, maps in enumerate(
                zip(
                    pointwise_variance(getattr(state, name)).sqrt(),
                    pointwise_variance(getattr(reference, name)).sqrt(),
                    strict=True,
                )
            )
        ]
        for name in FIELDS
    }


def pointwise_variance(field: Tensor) -> Tensor:
    """Variance `z y x` of a field `b z y x` over the samples; NaN with fewer than two.

    Level by level, to limit memory.
    """
    if len(field) < 2:
        return torch.full(field.shape[1:], NAN, dtype=torch.float64)
    return torch.stack([level.double().var(dim=0) for level in field.unbind(dim=1)])


def weighted_mean_by_level(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean `z` of `values` `z y x` over each level; NaN where all weights are 0."""
    return torch.stack([weighted_mean(*pair) for pair in zip(values, weights, strict=True)])


def ratio_by_level(variance: Tensor, reference: Tensor) -> Tensor:
    """Ratio of two variances; NaN where the reference is round-off."""
    return torch.where(reference > ROUND_OFF**2, variance / reference, NAN)


def smallest(values: Tensor) -> float:
    """Smallest of `values` without NaN; NaN if there is none."""
    return float(valid.min()) if (valid := values[~values.isnan()]).numel() else NAN


def largest(values: Tensor) -> float:
    """Largest of `values` without NaN; NaN if there is none."""
    return -smallest(-values)


def _map_correlation(a: Tensor, b: Tensor, grid: OceanGrid, level: int) -> float:
    """Area-weighted correlation of the maps `y x` over the wet cells of a level."""
    cells = wet_tensor(grid)[level]
    if not cells.any():
        return NAN
    weights = torch.from_numpy(grid.area).double()[cells]
    a, b = (x[cells] - weighted_mean(x[cells], weights) for x in (a, b))
    spread = (weighted_mean(a**2, weights) * weighted_mean(b**2, weights)).sqrt()
    if not spread > ROUND_OFF**2:
        return NAN
    return float(weighted_mean(a * b, weights) / spread)


def _columns(suffix: str, against: str) -> list[Column]:
    """Columns of the keys that end with `suffix`, compared with what `against` names."""
    return [
        Column(f"{key}_{name}{suffix}", f"{title} {symbol}{against}", "", meaning, target=1.0)
        for (name, symbol), (key, title, meaning) in product(FIELDS.items(), _MEANINGS)
    ]


_MEANINGS = (
    ("variance_ratio_surface", "variance ratio, surface",
     "variance over the states, generated / reference; target: 1; below: lost diversity"),
    ("variance_ratio_mean", "variance ratio, mean,",
     "variance ratio of each level, mean over depth; target: 1"),
    ("variance_ratio_smallest", "variance ratio, smallest,",
     "variance ratio at the level where it is smallest; below 1: lost diversity"),
    ("variance_ratio_largest", "variance ratio, largest,",
     "variance ratio at the level where it is largest; above 1: states too far apart"),
    ("variance_pattern_surface", "variance pattern, surface",
     "correlation of the maps of the standard deviation over the states; 1: it is large in the "
     "right places"),
    ("variance_pattern_mean", "variance pattern, mean,",
     "correlation of the maps of the standard deviation at each level, mean over depth; target: 1, "
     "less the sampling error"),
)  # fmt: skip
COLUMNS = (*_columns("", ""), *_columns("_training", ", training"))
