"""Distribution of the buoyancy frequency at each interface."""

from __future__ import annotations

import torch
from torch import Tensor

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.distances import w1_weighted
from evaluation.metrics.weights import horizontal_area, over_batches
from guidance.seawater import EquationOfState
from guidance.stratification import buoyancy_frequency_squared, wet_pairs

UNIT = 1e-5  # 1/s2

COLUMNS = (
    Column(
        "w1_stratification_1e_minus_5_per_s2", "W₁ of N²", "10⁻⁵ s⁻²",
        "Wasserstein-1 distance of the squared buoyancy frequencies at each interface, weighted by "
        "area, mean over depth; target: 0", target=0.0,
    ),
)  # fmt: skip


def stratification_metrics(
    state: State, reference: State, grid: OceanGrid, eos: EquationOfState
) -> dict[str, float]:
    """Distance between the stratifications of two sets of states; see `COLUMNS`.

    The mean over interfaces is weighted by the distance between the centres of their levels. NaN
    for a grid of one level.
    """
    ours, theirs = (_stratification(one, grid, eos) for one in (state, reference))
    distances = w1_interfaces(ours, theirs, grid)
    spacing = torch.from_numpy(grid.depth).double().diff()
    known = ~distances.isnan()
    mean = (distances[known] * spacing[known]).sum() / spacing[known].sum()
    return {"w1_stratification_1e_minus_5_per_s2": float(mean)}


def w1_interfaces(generated: Tensor, truth: Tensor, grid: OceanGrid) -> Tensor:
    """Wasserstein-1 distance `z-1` at each interface of fields `b z-1 y x`, in their units.

    Pools all samples and all pairs of wet cells, weighted by area; NaN for interfaces without such
    pairs.
    """
    area = horizontal_area(grid)
    distances = torch.full((len(grid.depth) - 1,), torch.nan, dtype=torch.float64)
    for level, pairs in enumerate(wet_pairs(wet_tensor(grid))):
        if pairs.any():
            ours, theirs = (one[:, level, pairs] for one in (generated, truth))
            distances[level] = w1_weighted(ours, theirs, area[pairs])
    return distances


def _stratification(state: State, grid: OceanGrid, eos: EquationOfState) -> Tensor:
    """N2 `b z-1 y x` [1e-5 s-2], computed in float64 and kept in float32 to limit memory."""

    def scaled(batch: State) -> Tensor:
        return (buoyancy_frequency_squared(batch, eos=eos, grid=grid) / UNIT).float()

    return over_batches(state, scaled)
