"""Time of exact convective adjustment, by equation of state and share of unstable columns.

    halocline study cost adjustment --grid 36x800x256 --threads 1

States are float32 on an all-wet grid. Unstable columns are unstable at about every third interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from data.equations import EQUATIONS
from data.grid import OceanGrid
from data.state import State
from evaluation.provenance import provenance
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from studies.cost.meter import Meter, use_threads
from studies.cost.synthetic import parse_shape, synthetic_grid
from training.log import print_json

PERCENT_UNSTABLE = (0, 10, 100)
SEED = 0


def overturning_state(grid: OceanGrid, *, percent: int) -> State:
    """One state with stable columns, except for about `percent` of them, which have noise."""
    levels, rows, columns = grid.shape
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(2, 1, levels, rows, columns, generator=generator)
    noise *= torch.rand(rows, columns, generator=generator) < percent / 100
    profile = torch.linspace(20, 2, levels)[:, None, None]
    return State(profile + noise[0], 35 + 0.1 * noise[1])


def adjust_cost(
    grid: OceanGrid, *, percents: Sequence[int] = PERCENT_UNSTABLE, meter: Meter
) -> dict[str, dict[str, float]]:
    """Median time [s] to adjust a state, by equation of state and share of unstable columns."""
    states = {percent: overturning_state(grid, percent=percent) for percent in percents}
    return {
        name: {
            f"unstable_{percent}_percent": _seconds(state, name, grid, meter)
            for percent, state in states.items()
        }
        for name in EQUATIONS
    }


def _seconds(state: State, name: str, grid: OceanGrid, meter: Meter) -> float:
    state, eos = state.map(lambda field: field.to(meter.device)), equation_of_state(name)
    return meter.cost(lambda: adjust(state, eos=eos, grid=grid))["seconds"]


def run(
    *,
    grid: str,
    repeats: int = 3,
    device: str = "cpu",
    threads: int | None = None,
    output: Path | None = None,
) -> None:
    """Measure the adjustment on a grid and print the result as JSON."""
    use_threads(threads)
    shape = synthetic_grid(*parse_shape(grid), periodic_x=True)
    result: dict[str, object] = {
        "grid": grid,
        "threads": torch.get_num_threads(),
        "adjustment_seconds": adjust_cost(shape, meter=Meter(repeats, device)),
        "kind": "adjustment_cost",
        "provenance": provenance(seeds={"state": SEED}),
    }
    print_json(result, output)
