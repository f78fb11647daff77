"""Strength of the balanced flow of held-out and generated states under each reference.

    halocline study spinup flow_reference configs/global4deg.yaml --states 16

The states must have a sea level and a grid in degrees. The target is the flow of the held-out
states under their own sea level, which is consistent with the velocities of the ocean model.
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
DEPTHS = (0.0, 1000.0, 3000.0)  # m; statistics are at the nearest levels
EQUATOR = 10.0  # degrees; latitudes closer to the equator are excluded
_Rows = dict[str, dict[str, float]]


def flow_references(
    truth: State, generated: State, *, grid: OceanGrid, eos: EquationOfState
) -> _Rows:
    """`strength` for truth and generated states under each reference."""
    rows: _Rows = {}
    target = _flow(truth, grid, eos, "sea_level")
    for kind, states in (("truth", truth), ("generated", generated)):
        for reference in REFERENCES:
            flow = _flow(states, grid, eos, reference)
            name = reference if isinstance(reference, str) else f"{reference:.0f} m"
            rows[f"{kind}, {name}"] = strength(flow, target, grid)
    return rows


def strength(flow: Velocities, target: Velocities, grid: OceanGrid) -> dict[str, float]:
    """Rms speed [cm/s] of flows `b z y x`, at `DEPTHS` and over all depths, off the equator.

    mean_flow_error_percent: rms difference between the mean flow and that of `target`, in percent
    of the rms of the latter
    """
    weight = _weight(grid)
    mean, expected = _mean(flow), _mean(target)
    error = Velocities(mean.u - expected.u, mean.v - expected.v)
    result = {
        f"rms_{depth:.0f}_m_cm_s": 100 * _rms(flow, weight, [_nearest(grid, depth)])
        for depth in DEPTHS
    }
    everywhere = list(range(len(grid.depth)))
    ratio = _rms(error, weight, everywhere) / _rms(expected, weight, everywhere)
    rms = 100 * _rms(flow, weight, everywhere)
    return result | {"rms_cm_s": rms, "mean_flow_error_percent": 100 * ratio}


def _flow(states: State, grid: OceanGrid, eos: EquationOfState, reference: Reference) -> Velocities:
    return balanced_velocities(states.map(Tensor.double), eos=eos, grid=grid, reference=reference)


def _mean(flow: Velocities) -> Velocities:
    return Velocities(*(field.mean(0, keepdim=True) for field in flow))


def _rms(flow: Velocities, weight: Tensor, levels: list[int]) -> float:
    square = (flow.u**2 + flow.v**2)[:, levels] * weight[levels]
    return float((square.sum() / (len(square) * weight[levels].sum())).sqrt())


def _weight(grid: OceanGrid) -> Tensor:
    latitude = grid.latitude if grid.latitude.ndim == 2 else grid.latitude[:, None]
    return torch.from_numpy(grid.volume * (np.abs(latitude) > EQUATOR))


def _nearest(grid: OceanGrid, depth: float) -> int:
    return int(np.abs(grid.depth - depth).argmin())


def of_run(run: Run, *, states: int) -> _Rows:
    """`flow_references` of `states` held-out states and the first `states` samples.

    Raises `UserError` for states without sea level or latitude, and for too few states.
    """
    archive = run.archive
    samples = StateArchive.open(run.samples("guided_adjusted"))
    held_out = archive.indices("test")
    if not archive.has_sea_level or archive.grid.horizontal_units != "degrees":
        raise UserError(f"{archive.path} has no sea level, or its grid is on a plane")
    if not 0 < states <= min(len(held_out), len(samples)):
        raise UserError(
            f"there are {len(held_out)} held-out and {len(samples)} generated states; give "
            f"--states between 1 and {min(len(held_out), len(samples))}"
        )
    chosen = held_out[np.arange(states) * len(held_out) // states]
    return flow_references(
        archive.read(chosen),
        samples.read(np.arange(states)),
        grid=archive.grid,
        eos=equation_of_state(archive.equation_of_state),
    )


def run(run: Run, *, states: int = 16, output: Path | None = None) -> None:
    """Print the strength of the flow under each reference as JSON."""
    result: dict[str, object] = {
        "states": states,
        "flow_references": of_run(run, states=states),
        "kind": "flow_references",
        "provenance": provenance(seeds={"sampling": run.settings.sampling.seed}),
    }
    print_json(result, output)
