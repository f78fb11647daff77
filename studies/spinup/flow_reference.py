"""How strong the flow in balance is under each reference, of held-out and of generated states.

    halocline study spinup flow_reference configs/global4deg.yaml --states 16

The states must have a sea level and a grid in degrees. What a reference should give is the flow of
the held-out states under their own sea level, which the ocean model made with its velocities.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from configs.run import Run
from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid
from data.state import State
from evaluation.provenance import provenance
from guidance.balance import Reference, Velocities, balanced_velocities
from guidance.seawater import EquationOfState, equation_of_state
from training.log import print_json

REFERENCES: tuple[Reference, ...] = ("sea_level", "floor", 2000.0, 1000.0)
DEPTHS = (0.0, 1000.0, 3000.0)  # m, of which the nearest levels are shown
AWAY = 10.0  # degrees from the equator
_Rows = dict[str, dict[str, float]]


def flow_references(
    truth: State, generated: State, *, grid: OceanGrid, eos: EquationOfState
) -> _Rows:
    """Figures of `strength` for each kind of states and each reference."""
    rows: _Rows = {}
    wanted = _flow(truth, grid, eos, "sea_level")
    for kind, states in (("truth", truth), ("generated", generated)):
        for reference in REFERENCES:
            flow = _flow(states, grid, eos, reference)
            name = reference if isinstance(reference, str) else f"{reference:.0f} m"
            rows[f"{kind}, {name}"] = strength(flow, wanted, grid)
    return rows


def strength(flow: Velocities, wanted: Velocities, grid: OceanGrid) -> dict[str, float]:
    """Rms speed [cm/s] of flows `b z y x` by depth, away from the equator, and of all water.

    mean_flow_error_percent: how far their mean is from the mean of `wanted`, rms, in percent of the
    latter's rms
    """
    weight = _weight(grid)
    mean, right = (
        Velocities(*(field.mean(0, keepdim=True) for field in f)) for f in (flow, wanted)
    )
    error = Velocities(mean.u - right.u, mean.v - right.v)
    found = {
        f"rms_{depth:.0f}_m_cm_s": 100 * _rms(flow, weight, [_nearest(grid, depth)])
        for depth in DEPTHS
    }
    everywhere = list(range(len(grid.depth)))
    ratio = _rms(error, weight, everywhere) / _rms(right, weight, everywhere)
    rms = 100 * _rms(flow, weight, everywhere)
    return found | {"rms_cm_s": rms, "mean_flow_error_percent": 100 * ratio}


def _flow(states: State, grid: OceanGrid, eos: EquationOfState, reference: Reference) -> Velocities:
    return balanced_velocities(states.map(Tensor.double), eos=eos, grid=grid, reference=reference)


def _mean(flow: Velocities) -> Velocities:
    return Velocities(*(field.mean(0, keepdim=True) for field in flow))


def _rms(flow: Velocities, weight: Tensor, levels: list[int]) -> float:
    square = (flow.u**2 + flow.v**2)[:, levels] * weight[levels]
    return float((square.sum() / (len(square) * weight[levels].sum())).sqrt())


def _weight(grid: OceanGrid) -> Tensor:
    latitude = grid.latitude if grid.latitude.ndim == 2 else grid.latitude[:, None]
    return torch.from_numpy(grid.volume * (np.abs(latitude) > AWAY))


def _nearest(grid: OceanGrid, depth: float) -> int:
    return int(np.abs(grid.depth - depth).argmin())


def of_run(run: Run, *, states: int) -> _Rows:
    """`flow_references` of the first `states` samples and as many held-out states.

    Raises UserError where there is no sea level, no sample, fewer states, or no latitude.
    """
    archive = run.archive
    samples = StateArchive.open(run.samples("guided_adjusted"))
    held_out = archive.indices("test")
    if not archive.has_sea_level or archive.grid.horizontal_units != "degrees":
        raise UserError(f"{archive.path} has no sea level, or its grid lies on a plane.")
    if not 0 < states <= min(len(held_out), len(samples)):
        raise UserError(
            f"{len(held_out)} states are held out and {len(samples)} generated, and {states} are "
            "asked for; give --states between 1 and the lesser."
        )
    chosen = held_out[np.arange(states) * len(held_out) // states]
    return flow_references(
        archive.read(chosen),
        samples.read(np.arange(states)),
        grid=archive.grid,
        eos=equation_of_state(archive.equation_of_state),
    )


def run(run: Run, *, states: int = 16, output: Path | None = None) -> None:
    """Print the figures as JSON."""
    result: dict[str, object] = {
        "states": states,
        "flow_references": of_run(run, states=states),
        "kind": "flow_references",
        "provenance": provenance(seeds={"sampling": run.settings.sampling.seed}),
    }
    print_json(result, output)
