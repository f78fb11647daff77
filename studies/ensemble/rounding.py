"""What the rounding of the archive does to the stability of states."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from data.archive.format import LEVEL_STEP_SALINITY, LEVEL_STEP_TEMPERATURE
from data.basin.to_archive import EQUATION_OF_STATE
from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.stability import density_error_percent, near_neutral_pairs_percent
from guidance.seawater import equation_of_state

Metric = Callable[[State], Tensor]


def rounded(state: State) -> State:
    """T in steps of 1/512 K and S in steps of 1/4096 g/kg, as the archive stores them."""
    return State(
        _to_steps(state.temperature, LEVEL_STEP_TEMPERATURE),
        _to_steps(state.salinity, LEVEL_STEP_SALINITY),
    )


def rounding_rows(states: Sequence[State], grid: OceanGrid) -> dict[str, dict[str, float]]:
    """Metrics of exact and rounded states, mean over states; and the largest change of a state."""
    exact = State.cat(list(states))
    found = {name: (metric(exact), metric(rounded(exact))) for name, metric in _metrics(grid)}
    return {
        "exact": {name: float(before.mean()) for name, (before, _) in found.items()},
        "rounded": {name: float(after.mean()) for name, (_, after) in found.items()},
        "largest change of a member": {
            name: float((after - before).abs().max()) for name, (before, after) in found.items()
        },
    }


def _metrics(grid: OceanGrid) -> list[tuple[str, Metric]]:
    eos = equation_of_state(EQUATION_OF_STATE)
    return [
        ("density_error_percent", lambda state: density_error_percent(state, grid, eos)),
        (
            "any_inversion_percent",
            lambda state: density_error_percent(state, grid, eos, threshold=0.0),
        ),
        ("near_neutral_pairs_percent", lambda state: near_neutral_pairs_percent(state, grid, eos)),
    ]


def _to_steps(field: Tensor, step: float) -> Tensor:
    return torch.from_numpy(np.round(field.double().numpy() / step) * step)
