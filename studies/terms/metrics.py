"""Metrics of temperatures near their lower bound, as pure functions."""

from __future__ import annotations

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.metrics.distances import w1_pooled

NEAR = 0.5  # K above the bound


def bound_metrics(state: State, truth: State, grid: OceanGrid, *, bound: float) -> dict[str, float]:
    """Temperatures of wet cells at and near a lower bound [degC].

    `below_bound_percent`: share of cells below it; `near_bound_percent`: share of cells up to 0.5 K
    above it, or below; `w1_near_bound_K`: Wasserstein-1 distance between the temperatures of these
    cells and of the truth's, each distribution normalised, NaN if either has none. Cells count
    equally.
    """
    ours, theirs = (_wet_temperatures(one, grid) for one in (state, truth))
    near = [values[values <= bound + NEAR] for values in (ours, theirs)]
    has_both = all(len(values) for values in near)
    return {
        "below_bound_percent": 100 * float((ours < bound).double().mean()),
        "near_bound_percent": 100 * len(near[0]) / len(ours),
        "w1_near_bound_K": w1_pooled(*near) if has_both else float("nan"),
    }


def coldest(states: State, grid: OceanGrid) -> float:
    """The lowest temperature of wet cells [degC]."""
    return float(_wet_temperatures(states, grid).min())


def _wet_temperatures(state: State, grid: OceanGrid) -> Tensor:
    """Temperatures `n` of all wet cells of all states [degC]."""
    return torch.masked_select(state.temperature, wet_tensor(grid))
