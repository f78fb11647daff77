"""Export of states from an archive as initial conditions of an ocean model."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import cast

import torch

from data.archive.format import field_attributes
from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.parameters import SEASON
from data.restarts.initial_condition import (
    InitialCondition,
    InitialConditionWriter,
    Velocities,
    Written,
    checked_fields,
)
from data.state import State
from guidance.balance import Reference, balanced_sea_level, balanced_velocities
from guidance.seawater import EquationOfState, equation_of_state
from guidance.stratification import adjust, density_steps, wet_pairs


def export_state(
    archive: StateArchive,
    member: int,
    writer: InitialConditionWriter,
    *,
    path: Path,
    target: str | None = None,
    adjusted: bool = False,
    balanced: bool = False,
    reference: Reference | None = None,
) -> Written:
    """Write state `member` for a model with the equation of state `target`.

    target: name of the equation; default: that of the archive
    adjusted: remove static instability under that equation (`guidance.stratification.adjust`)
    balanced: include geostrophic velocities and the corresponding sea level
    reference: reference of these velocities, see `in_balance`

    Raises `UserError` for an unknown state, an equation for other kinds of temperature and
    salinity, an unstable state that is not adjusted, a balance without Coriolis parameter, and for
    the errors of the writer.
    """
    _check_options(archive, member, balanced=balanced, reference=reference)
    target = target or archive.equation_of_state
    eos, flow = equation_of_state(target), None
    _check_kinds(archive, target)
    state = _stable_state(archive, member, eos, adjusted=adjusted)
    if balanced:
        state, flow = in_balance(state, archive.grid, eos, reference=reference)
    sampling = str(archive.attributes.get("sampling", ""))
    conditions = {name: float(values[member]) for name, values in archive.parameters.items()}
    units = {f"{name}_units": unit for name, unit in archive.units.items()}
    initial = InitialCondition(
        state,
        archive.grid,
        target,
        attributes={"generated_by": sampling, "member": member, **conditions, **units},
        velocities=flow,
        season=conditions.get(SEASON),
    )
    return writer.write(initial, path=path)


def _check_options(
    archive: StateArchive, member: int, *, balanced: bool, reference: Reference | None
) -> None:
    if not 0 <= member < len(archive):
        raise UserError(
            f"{archive.path} has states 0 to {len(archive) - 1}; there is no state {member}"
        )
    if reference is not None and not balanced:
        raise UserError(
            "--reference applies to balanced velocities only; use --velocities balanced"
        )


def _stable_state(
    archive: StateArchive, member: int, eos: EquationOfState, *, adjusted: bool
) -> State:
    """A statically stable state: adjusted, or checked to be stable."""
    state = archive.read([member])
    # Checked before mixing, which would hide land values and wrong units.
    checked_fields(state, archive.grid, land=0.0)
    if adjusted:
        return adjust(state, eos=eos, grid=archive.grid)
    require_stable(state, archive.grid, eos, what=f"state {member} of {archive.path}")
    return state


def in_balance(
    state: State, grid: OceanGrid, eos: EquationOfState, *, reference: Reference | None = None
) -> tuple[State, Velocities]:
    """A state with sea level, and the velocities in geostrophic balance with it.

    reference: "sea_level" keeps the sea level of the state; "floor" or a depth [m] sets the sea
        level that gives no motion there, with the mean of the state's sea level. Default:
        "sea_level" if the state has one, else "floor".

    Raises `UserError` for a grid on a plane, whose Coriolis parameter is unknown, and for the
    errors of `guidance.balance`.
    """
    if grid.horizontal_units != "degrees":
        raise UserError(
            f"the grid is on a plane (in {grid.horizontal_units}) and its Coriolis parameter is "
            "unknown; start at rest (--velocities rest)."
        )
    if reference is None:
        reference = "floor" if state.sea_level is None else "sea_level"
    if reference != "sea_level":
        state = replace(state, sea_level=_level_for(reference, state, grid, eos))
    u, v = balanced_velocities(state, eos=eos, grid=grid, reference="sea_level")
    return state, Velocities(u[0].numpy(), v[0].numpy())


def _level_for(
    reference: Reference, state: State, grid: OceanGrid, eos: EquationOfState
) -> torch.Tensor:
    """The sea level `b y x` [m] that gives no motion at the reference."""
    depth = inf if reference == "floor" else float(reference)
    level = balanced_sea_level(state, eos=eos, grid=grid, depth=depth)
    if state.sea_level is None:
        return level
    area = torch.from_numpy(grid.area * grid.wet[0])
    mean = (state.sea_level * area).sum((-1, -2), keepdim=True) / area.sum()
    return torch.where(area > 0, level + mean, 0.0).to(level)


def parse_reference(text: str) -> Reference:
    """Parse "floor", "sea_level" or a depth [m]; raises `UserError` for anything else."""
    if text in ("floor", "sea_level"):
        return cast(Reference, text)
    try:
        depth = float(text)
    except ValueError:
        depth = nan
    if not 0 < depth < inf:
        raise UserError(
            f"unknown reference {text}; use floor, sea_level or a positive depth of no motion [m]."
        )
    return depth


@torch.no_grad()
def require_stable(state: State, grid: OceanGrid, eos: EquationOfState, *, what: str) -> None:
    """Raise `UserError` if a column is statically unstable under the equation of state.

    what: name of the state in the message
    """
    depth = torch.from_numpy(grid.interface_depth)
    steps = density_steps(state.map(torch.Tensor.double), eos=eos, interface_depth=depth)
    unstable = steps[(steps < 0) & wet_pairs(wet_tensor(grid))]
    if len(unstable):
        raise UserError(
            f"{what} is statically unstable under {eos.name} in {len(unstable)} pairs of cells, by "
            f"up to {-unstable.min():.2g} kg/m3; mix them with --adjust, which conserves heat and "
            "salt in every column, or choose your model's equation with --equation-of-state."
        )


def _check_kinds(archive: StateArchive, target: str) -> None:
    """Raise `UserError` unless T and S are of the kinds required by the target's equation."""
    has, takes = (
        [field_attributes(name)[field]["standard_name"] for field in ("thetao", "so")]
        for name in (archive.equation_of_state, target)
    )
    if has != takes:
        raise UserError(
            f"{archive.path} has {' and '.join(has)}, but {target} takes {' and '.join(takes)}; "
            "convert the source data with gsw and ingest it again."
        )
