"""Reads model output into the archive of a run, and says what it holds."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import torch

from configs.run import Run
from data.grid import OceanGrid, wet_tensor
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.salinity import salinity_of
from data.state import State
from data.summary import Stability, Summary
from guidance.seawater import EquationOfState, equation_of_state
from guidance.stratification import density_steps, wet_pairs
from training.log import write_json

SUMMARY = "ingest.json"  # in the run directory
ROWS = 64  # whose densities are in memory together
_UNSTABLE_STEP = 1e-3  # kg/m3; smaller steps are rounding errors of stored T and S


def ingest_run(run: Run, settings: IngestSettings) -> Summary:
    """Write the archive of a run, and its summary to `ingest.json` in the run directory.

    Raises `UserError` as `data.ingest.ingest` does.
    """

    def described(grid: OceanGrid) -> Summary:
        eos = equation_of_state(settings.equation_of_state)
        stability = Stability(
            settings.equation_of_state, lambda state: overturning_percent(state, grid, eos)
        )
        return Summary(grid, salinity_of(settings.equation_of_state).shown, stability)

    summary = ingest(settings, output=run.settings.data.archive, summary=described)
    run.directory.mkdir(parents=True, exist_ok=True)
    write_json(run.directory / SUMMARY, summary.as_dict())
    return summary


def overturning_percent(state: State, grid: OceanGrid, eos: EquationOfState) -> tuple[float, float]:
    """Shares of a state that overturn by more than 1e-3 kg/m3 [%].

    Of the vertical pairs of wet cells, and of the water columns that have such a pair. Densities
    are referenced to the interface, in float64.
    """
    depth = torch.from_numpy(grid.interface_depth)
    pairs, count = wet_pairs(wet_tensor(grid)), np.zeros(4)
    for first in range(0, grid.shape[1], ROWS):
        rows = slice(first, first + ROWS)
        part = state.map(itemgetter((..., rows, slice(None)))).map(torch.Tensor.double)
        wet = pairs[:, rows]
        unstable = (density_steps(part, eos=eos, interface_depth=depth)[0] < -_UNSTABLE_STEP) & wet
        count += [int(found.sum()) for found in (unstable, wet, unstable.any(0), wet.any(0))]
    unstable_pairs, all_pairs, unstable_columns, columns = count
    return _percent(unstable_pairs, all_pairs), _percent(unstable_columns, columns)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
