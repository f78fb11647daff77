"""Numbers of nemo-spinup-evaluation, the spin-up community's tool, for states of any archive.

Definitions and names are those of https://github.com/m2lines/nemo-spinup-evaluation (its
`metrics.py`, adapted there from Metrics-Ocean of E. Meunier), so that a column of its CSV and of
this one can be held side by side. Only what temperature and salinity determine is here: its
transports need velocities.

One difference: at 500 m the tool weights columns with area times the unmasked thickness of all
levels of the mesh, which an archive does not have. Here the weight is the area, which is the same
where the mesh has the same levels everywhere.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.atomic import atomic_write
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.metrics.weights import cell_volume, over_batches, weighted_mean
from guidance.seawater import equation_of_state, sigma0

CSV = "spinup_metrics.csv"
TROPICS = 30.0  # degrees
SHALLOW, ABYSS = 500.0, 3000.0  # m
SMALLEST_STEP = 1e-5  # kg/m3
COLUMNS = (
    "check_density_computed",
    "temperature_500m_30NS_metric",
    "temperature_BWbox_metric",
    "temperature_DWbox_metric",
)


def spinup_metrics(state: State, grid: OceanGrid) -> dict[str, Tensor]:
    """The metrics of each state, `b`, by the tool's names.

    check_density_computed: share (0 to 1) of all grid points, land included, below which
    surface-referenced density (TEOS-10 polynomial of NEMO) is smaller by more than 1e-5 kg/m3;
    temperature_...: mean temperature [degC] at 500 m within 30 degrees of the equator, in the
    bottom-water box (below 3000 m, or beyond 30 degrees) and in the deep-water box (500 to 3000 m
    within 30 degrees). NaN where a box has no ocean. Raises `UserError` for a grid on a plane.
    """
    if grid.horizontal_units != "degrees":
        raise UserError(
            "the numbers of nemo-spinup-evaluation are means over latitudes, but the grid is on a "
            "plane: evaluate without --csv"
        )
    tropics, depth = _tropics(grid), torch.from_numpy(np.asarray(grid.depth))[:, None, None]
    deep = ((depth - (SHALLOW + ABYSS) / 2).abs() < (ABYSS - SHALLOW) / 2) & tropics
    bottom = ~((depth < ABYSS) & tropics)
    level = int((depth.flatten() - SHALLOW).abs().argmin())
    at_level = torch.from_numpy(grid.area * grid.wet[level]) * tropics
    volume, temperature = cell_volume(grid), state.temperature.double()
    return {
        "check_density_computed": over_batches(state, lambda part: _overturning(part, grid)),
        "temperature_500m_30NS_metric": weighted_mean(temperature[:, level], at_level),
        "temperature_BWbox_metric": weighted_mean(temperature, volume * bottom),
        "temperature_DWbox_metric": weighted_mean(temperature, volume * deep),
    }


def write_spinup_csv(path: Path, rows: Mapping[str, State], grid: OceanGrid) -> None:
    """Write the metrics of every state as CSV: row of the evaluation, number in it, metrics."""
    found = {name: spinup_metrics(state, grid) for name, state in rows.items()}
    with atomic_write(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "state", *COLUMNS])
        for name, metrics in found.items():
            values = torch.stack([metrics[column] for column in COLUMNS], dim=1)
            for number, line in enumerate(values.tolist()):
                writer.writerow([name, number, *(f"{value:.9g}" for value in line)])


def _tropics(grid: OceanGrid) -> Tensor:
    """Where columns are within 30 degrees of the equator, `y x`."""
    latitude = torch.from_numpy(np.asarray(grid.latitude, dtype=np.float64))
    latitude = latitude if latitude.ndim == 2 else latitude[:, None].expand(grid.shape[1:])
    return latitude.abs() < TROPICS


def _overturning(state: State, grid: OceanGrid) -> Tensor:
    """Share `b` of all grid points that are heavier than the point below."""
    wet = wet_tensor(grid)
    density = sigma0(equation_of_state("nemo-teos10"), state.temperature, state.salinity)
    unstable = (density.diff(dim=1) < -SMALLEST_STEP) & wet[:-1] & wet[1:]
    return unstable.sum(dim=(1, 2, 3)).double() / wet.numel()
