"""Shape of the distribution of anomalies: skewness and excess kurtosis at each level."""

from __future__ import annotations

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.weights import level_thickness

ROUND_OFF = 1e-5  # in units of T and S; smaller standard deviations are rounding of stored fields
MOMENTS = ("skewness", "kurtosis")

COLUMNS = tuple(
    Column(
        f"{moment}_difference_{field}", f"{moment} of {symbol}, difference", "",
        f"{name} of the anomalies of {symbol} at each level, absolute difference from the truth, "
        "mean over depth; target: 0", target=0.0,
    )
    for moment, name in zip(MOMENTS, ("skewness", "excess kurtosis"), strict=True)
    for field, symbol in (("temperature", "T"), ("salinity", "S"))
)  # fmt: skip


def moment_metrics(state: State, reference: State, grid: OceanGrid) -> dict[str, float]:
    """Differences in shape between the anomalies of two sets of states; see `COLUMNS`.

    Anomalies are from each set's own climatology, so a bias of the mean is no change of shape. The
    mean over levels is weighted by thickness and leaves out levels where a set is constant. NaN if
    all are, or for fewer than two states in a set.
    """
    gaps = {
        field: _shape_gaps(getattr(state, field), getattr(reference, field), grid)
        for field in ("temperature", "salinity")
    }
    thickness = level_thickness(grid)
    return {
        f"{moment}_difference_{field}": _mean_of_known(gap[:, index], thickness)
        for index, moment in enumerate(MOMENTS)
        for field, gap in gaps.items()
    }


def skewness_and_kurtosis(values: Tensor) -> Tensor:
    """Skewness and excess kurtosis, `2`, of values of any shape; NaN if they are constant.

    The means of the third and fourth powers, the latter minus 3, of the values scaled to mean 0
    and variance 1. A shift or a change of variance therefore has no effect.
    """
    centred = values.double() - values.double().mean()
    std = centred.square().mean().sqrt()
    if not std > ROUND_OFF:
        return torch.full((2,), torch.nan, dtype=torch.float64)
    scaled = centred / std
    squared = scaled.square()
    return torch.stack([(squared * scaled).mean(), squared.square().mean() - 3])


def _shape_gaps(field: Tensor, reference: Tensor, grid: OceanGrid) -> Tensor:
    """Absolute differences `z 2` of skewness and kurtosis of fields `b z y x`; NaN if undefined.

    Pooled over the states and the wet cells of a level.
    """
    if min(len(field), len(reference)) < 2:
        return torch.full((len(grid.depth), 2), torch.nan, dtype=torch.float64)
    gaps = [
        _level_gap(field[:, level, cells], reference[:, level, cells])
        for level, cells in enumerate(wet_tensor(grid))
    ]
    return torch.stack(gaps)


def _level_gap(values: Tensor, reference: Tensor) -> Tensor:
    """Absolute differences, `2`, for values `b n` of a level."""
    ours, theirs = (
        skewness_and_kurtosis(one.double() - one.double().mean(dim=0))
        for one in (values, reference)
    )
    return (ours - theirs).abs()


def _mean_of_known(values: Tensor, weights: Tensor) -> float:
    """Weighted mean of the values that are not NaN; NaN if there are none."""
    known = ~values.isnan()
    return float((values[known] * weights[known]).sum() / weights[known].sum())
