"""Static stability of water columns, and exact convective adjustment."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.columns import group_means, joined_layers
from guidance.compiled import runs_compiled
from guidance.seawater import GRAVITY, EquationOfState
from guidance.tracing import compiled_density_step

REFERENCE_DENSITY = 1026.0  # [kg/m3], NEMO's rho0
CELLS_IN_PLACE = 2**18  # cells adjusted at a time: 2 MB of temperature and salinity in float32


def density_steps(
    state: State,
    *,
    eos: EquationOfState,
    interface_depth: Tensor,
    constant_slopes: bool = False,
) -> Tensor:
    """Density of each layer minus that of the layer above, both at their interface.

    interface_depth: `z-1` [m], as `OceanGrid.interface_depth`
    constant_slopes: the gradient takes drho/dT and drho/dS as constants, which is much cheaper

    Returns `b z-1 y x` [kg/m3], positive where stable, in the state's float type; values next to
    land are meaningless.
    """
    depth = interface_depth.to(state.temperature)[:, None, None]
    lower_temperature, upper_temperature = state.temperature[:, 1:], state.temperature[:, :-1]
    lower_salinity, upper_salinity = state.salinity[:, 1:], state.salinity[:, :-1]
    if not constant_slopes:
        return eos.density_step(
            upper_temperature, upper_salinity, lower_temperature, lower_salinity, depth
        )
    with torch.no_grad():
        slopes = eos.slopes(
            0.5 * (upper_temperature + lower_temperature),
            0.5 * (upper_salinity + lower_salinity),
            depth,
        )
    return slopes[0] * (lower_temperature - upper_temperature) + slopes[1] * (
        lower_salinity - upper_salinity
    )


def wet_pairs(wet: Tensor) -> Tensor:
    """Interfaces between two wet cells: `z y x` bool to `z-1 y x` bool."""
    return wet[:-1] & wet[1:]


def buoyancy_frequency_squared(state: State, *, eos: EquationOfState, grid: OceanGrid) -> Tensor:
    """N2 = g / rho0 * density step / distance of the levels' centres [1/s2], at the interfaces.

    `b z-1 y x` in the state's float type, locally referenced (see `density_steps`); negative where
    unstable, 0 next to land. rho0 is 1026 kg/m3, as in Boussinesq models; with the in-situ density
    N2 would be up to 2 % smaller at depth.
    """
    depth = torch.from_numpy(grid.interface_depth)
    steps = density_steps(state, eos=eos, interface_depth=depth)
    distance = torch.from_numpy(grid.depth).diff().to(steps)[:, None, None]
    pairs = wet_pairs(wet_tensor(grid)).to(steps.device)
    return torch.where(pairs, GRAVITY / REFERENCE_DENSITY * steps / distance, 0.0)


@torch.no_grad()
def adjust(state: State, *, eos: EquationOfState, grid: OceanGrid, tolerance: float = 0.0) -> State:
    """Exact convective adjustment: the stable state reached by mixing alone.

    Neighbouring layers with a density step below -tolerance [kg/m3] are mixed, weighted by
    thickness, in growing groups until none is left (pool adjacent violators; at most z - 1 passes).
    Column heat and salt, sum(thickness * T) and sum(thickness * S), are conserved to the rounding
    of the state's float type; all arithmetic is in float64. Stable columns, land and sea level are
    bitwise unchanged. The result is stable by `density_steps` in float64, and a second adjustment
    changes nothing. No gradient.

    Raises UserError if the tolerance is negative.
    """
    return adjust_with_gradient(state, eos=eos, grid=grid, tolerance=tolerance)


def adjust_in_place(state: State, *, eos: EquationOfState, grid: OceanGrid) -> None:
    """`adjust` in place, some rows at a time, without a second state in memory."""
    _, rows, columns = grid.shape
    together = max(1, CELLS_IN_PLACE // (len(state) * state.levels * columns))
    for first in range(0, rows, together):
        part = slice(first, min(first + together, rows))
        here = State(state.temperature[..., part, :], state.salinity[..., part, :])
        stable = adjust(here, eos=eos, grid=grid.part(part))
        here.temperature.copy_(stable.temperature)
        here.salinity.copy_(stable.salinity)


def adjust_with_gradient(
    state: State, *, eos: EquationOfState, grid: OceanGrid, tolerance: float = 0.0
) -> State:
    """`adjust`, with the gradient of averaging over the groups of mixed layers.

    The choice of groups has zero gradient almost everywhere. The gradient at a mixed layer is its
    fraction of the group's thickness times the sum of the gradients of the group.
    """
    if tolerance < 0:
        raise UserError(f"The tolerance is {tolerance} kg/m3; it must be 0 or more.")
    step = compiled_density_step(eos) if runs_compiled(state.temperature, state.salinity) else None
    if step is None:
        return _adjust_in_torch(state, eos=eos, grid=grid, tolerance=tolerance)
    joined = joined_layers(state, step=step, grid=grid, tolerance=tolerance)
    if joined is None:
        return state
    temperature, salinity = (
        group_means(field, grid.thickness, joined) for field in (state.temperature, state.salinity)
    )
    return State(temperature, salinity, state.sea_level)


def _adjust_in_torch(
    state: State, *, eos: EquationOfState, grid: OceanGrid, tolerance: float
) -> State:
    """`adjust_with_gradient` for any device, float type and equation of state."""
    device = state.temperature.device
    depth = torch.from_numpy(grid.interface_depth).to(device)
    pairs = wet_pairs(wet_tensor(grid)).to(device)
    unstable = _overturning(state, eos=eos, depth=depth, pairs=pairs, tolerance=tolerance)
    if not unstable.any():
        return state
    columns = _Columns(
        temperature=state.temperature.movedim(1, -1)[unstable],
        salinity=state.salinity.movedim(1, -1)[unstable],
        thickness=_of_columns(torch.from_numpy(grid.thickness).to(device), unstable),
        pairs=_of_columns(pairs, unstable),
    )
    joined = _joined_layers(columns, eos=eos, depth=depth, tolerance=tolerance)
    return State(
        _with_columns(state.temperature, unstable, columns.mixed_temperature(joined)),
        _with_columns(state.salinity, unstable, columns.mixed_salinity(joined)),
        state.sea_level,
    )


@torch.no_grad()
def _overturning(
    state: State, *, eos: EquationOfState, depth: Tensor, pairs: Tensor, tolerance: float
) -> Tensor:
    """Columns with an unstable pair, `b y x` bool."""
    steps = density_steps(state.map(Tensor.double), eos=eos, interface_depth=depth)
    return ((steps < -tolerance) & pairs).any(dim=1)


class _Columns(NamedTuple):
    """Water columns extracted from their grid: all `n z`, but pairs `n z-1`."""

    temperature: Tensor
    salinity: Tensor
    thickness: Tensor
    pairs: Tensor

    def mixed_temperature(self, joined: Tensor) -> Tensor:
        return _group_mean(self.temperature, self.thickness, joined)

    def mixed_salinity(self, joined: Tensor) -> Tensor:
        return _group_mean(self.salinity, self.thickness, joined)


@torch.no_grad()
def _joined_layers(
    columns: _Columns, *, eos: EquationOfState, depth: Tensor, tolerance: float
) -> Tensor:
    """Whether each layer must mix with the next for stable columns, `n z-1` bool.

    Stability is tested after rounding to the columns' float type, so it holds for the result.
    """
    joined = torch.zeros_like(columns.pairs)
    while True:
        t, s = columns.mixed_temperature(joined).double(), columns.mixed_salinity(joined).double()
        step = eos.density_step(t[:, :-1], s[:, :-1], t[:, 1:], s[:, 1:], depth)
        unstable = (step < -tolerance) & columns.pairs
        if not unstable.any():
            return joined
        joined |= unstable


def _group_mean(values: Tensor, thickness: Tensor, joined: Tensor) -> Tensor:
    """Replace each layer of a group by the group's thickness-weighted mean.

    values, thickness: `n z`; joined: `n z-1`, True where a layer shares a group with the next.
    Single layers are bitwise unchanged.
    """
    edge = joined.new_zeros(len(joined), 1)
    grouped = torch.cat([edge, joined], dim=1) | torch.cat([joined, edge], dim=1)
    group = torch.cat([edge, ~joined], dim=1).cumsum(dim=1)
    content = torch.zeros_like(thickness).scatter_add_(1, group, thickness * values.double())
    extent = torch.zeros_like(thickness).scatter_add_(1, group, thickness)
    # Land and unused groups have extent 0; 0 / 0 would make the gradient NaN.
    mean = (content / torch.where(extent > 0, extent, 1)).gather(1, group)
    return torch.where(grouped, mean.to(values.dtype), values)


def _of_columns(field: Tensor, columns: Tensor) -> Tensor:
    """Columns `n z` of a field `z y x`, at the True places of `b y x`."""
    _, row, column = columns.nonzero(as_tuple=True)
    return field[:, row, column].T


def _with_columns(field: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """A copy of the field `b z y x` with the columns at the True places of `b y x` replaced."""
    replaced = field.clone()
    replaced.movedim(1, -1)[columns] = values
    return replaced
