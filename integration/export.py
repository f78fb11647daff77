"""From a state archive to files that an ocean model starts from, if the state is fit for it."""

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
    """Write state `member` for a model whose equation of state is `target` (the archive's).

    adjusted: mix what overturns under that equation (`guidance.stratification.adjust`)
    balanced: give the writer geostrophic velocities too, and the sea level that goes with them
    reference: of those velocities, as `in_balance` says

    Raises UserError if there is no such state, if the equation takes other kinds of temperature and
    salinity, if the state overturns and is not adjusted, if the grid has no known Coriolis
    parameter for a balance, or as the writer does.
    """
    if not 0 <= member < len(archive):
        raise UserError(
            f"{archive.path} holds states 0 to {len(archive) - 1}; there is no state {member}"
        )
    if reference is not None and not balanced:
        raise UserError(
            "a reference (--reference) is that of velocities in balance: ask for them with "
            "--velocities balanced."
        )
    target = target or archive.equation_of_state
    eos, flow = equation_of_state(target), None
    _check_kinds(archive, target)
    state = _stable_state(archive, member, eos, adjusted=adjusted)
    if balanced:
        state, flow = in_balance(state, archive.grid, eos, reference=reference)
    sampling = str(archive.attributes.get("sampling", ""))
    initial = InitialCondition(
        state,
        archive.grid,
        target,
        salinity_units=archive.salinity_units,
        attributes={"generated_by": sampling, "member": member},
        velocities=flow,
    )
    return writer.write(initial, path=path)


def _stable_state(
    archive: StateArchive, member: int, eos: EquationOfState, *, adjusted: bool
) -> State:
    """One state that does not overturn: mixed where it would, or refused."""
    state = archive.read([member])
    # Before any mixing, which would hide a land value or wrong units in its column.
    checked_fields(state, archive.grid, land=0.0)
    if adjusted:
        return adjust(state, eos=eos, grid=archive.grid)
    require_stable(state, archive.grid, eos, what=f"state {member} of {archive.path}")
    return state


def in_balance(
    state: State, grid: OceanGrid, eos: EquationOfState, *, reference: Reference | None = None
) -> tuple[State, Velocities]:
    """One state with a sea level, and the velocities in geostrophic balance with both.

    reference: "sea_level", the state's own; "floor", or a depth [m], where no water moves: the sea
        level becomes the one under which that is so, its mean being the old one's, if there was
        one. None is "sea_level" where the state has one, else "floor".

    Raises UserError for a grid on a plane, whose Coriolis parameter archives do not hold, and as
    `guidance.balance` does.
    """
    if grid.horizontal_units != "degrees":
        raise UserError(
            f"the grid lies on a plane (in {grid.horizontal_units}), where no Coriolis parameter "
            "is known to put a flow in balance with: start at rest (--velocities rest)."
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
    """The sea level `b y x` [m] under which the water at the reference stands still."""
    depth = inf if reference == "floor" else float(reference)
    level = balanced_sea_level(state, eos=eos, grid=grid, depth=depth)
    if state.sea_level is None:
        return level
    area = torch.from_numpy(grid.area * grid.wet[0])
    mean = (state.sea_level * area).sum((-1, -2), keepdim=True) / area.sum()
    return torch.where(area > 0, level + mean, 0.0).to(level)


def parse_reference(text: str) -> Reference:
    """Read "floor", "sea_level" or a depth [m] as a user types it. Raises UserError for another."""
    if text in ("floor", "sea_level"):
        return cast(Reference, text)
    try:
        depth = float(text)
    except ValueError:
        depth = nan
    if not 0 < depth < inf:
        raise UserError(
            f"velocities cannot be referred to {text}: give floor, sea_level or a depth of no "
            "motion above 0 m."
        )
    return depth


@torch.no_grad()
def require_stable(state: State, grid: OceanGrid, eos: EquationOfState, *, what: str) -> None:
    """Raise UserError if a column of the state overturns under the equation of state.

    what: the state's name in the message
    """
    depth = torch.from_numpy(grid.interface_depth)
    steps = density_steps(state.map(torch.Tensor.double), eos=eos, interface_depth=depth)
    unstable = steps[(steps < 0) & wet_pairs(wet_tensor(grid))]
    if len(unstable):
        raise UserError(
            f"{what} overturns under {eos.name} in {len(unstable)} pairs of cells, by up to "
            f"{-unstable.min():.2g} kg/m3: mix them with --adjust, which keeps the heat and salt "
            "of every column, or name your model's equation with --equation-of-state."
        )


def _check_kinds(archive: StateArchive, target: str) -> None:
    """Temperature and salinity are of the kinds that the target's equation takes."""
    has, takes = (
        [field_attributes(name, "")[field]["standard_name"] for field in ("thetao", "so")]
        for name in (archive.equation_of_state, target)
    )
    if has != takes:
        raise UserError(
            f"{archive.path} holds {' and '.join(has)}, {target} takes {' and '.join(takes)}: "
            "convert the data that the states come from, with gsw, and ingest it again."
        )
