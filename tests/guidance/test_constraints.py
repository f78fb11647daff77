"""Energies of physical states: zeros, values and directions of gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.constraints import ColumnTerm, NearestStableState, PhysicalBounds, UnstablePairs
from guidance.profiles import MeanProfile
from guidance.seawater import equation_of_state, freezing_temperature
from guidance.stratification import adjust, density_steps, wet_pairs
from guidance.terms import Scales, half_squares, inverse_square

Build = Callable[..., State]


@pytest.fixture
def scales(grid: OceanGrid) -> Scales:
    levels = grid.shape[0]
    return Scales(torch.linspace(2.0, 0.5, levels), torch.linspace(0.4, 0.1, levels))


def test_stable_states_have_no_energy(grid: OceanGrid, noisy_state: Build, scales: Scales) -> None:
    eos = equation_of_state("nemo-seos")
    stable = adjust(noisy_state(), eos=eos, grid=grid)
    term = NearestStableState(grid, eos, scales)
    assert term(stable).tolist() == [0, 0, 0]
    assert (term(noisy_state()) > 0).all()


def test_nearest_stable_state_by_hand(grid: OceanGrid, scales: Scales, noisy_state: Build) -> None:
    """One warm cell under a thinner one: the energy of mixing the two."""
    state = noisy_state(batch=1, noise=0.0)
    row, column = (int(x) for x in torch.from_numpy(grid.wet.all(0)).nonzero()[0])
    temperature = state.temperature.clone()
    temperature[0, :2, row, column] = torch.tensor([18.0, 20.5])
    temperature[0, 2:, row, column] -= 5
    energy = NearestStableState(grid, equation_of_state("nemo-seos"), scales)(
        State(temperature, state.salinity)
    )
    mean = (10 * 18.0 + 15 * 20.5) / 25
    squares = ((18.0 - mean) / scales.temperature[0]) ** 2 + (
        (20.5 - mean) / scales.temperature[1]
    ) ** 2
    assert energy.item() == pytest.approx(0.5 * squares.item() / grid.wet.sum(), rel=1e-4)


def test_pull_points_to_the_adjusted_state(
    grid: OceanGrid, noisy_state: Build, scales: Scales
) -> None:
    eos, state = equation_of_state("nemo-seos"), noisy_state()
    temperature = state.temperature.clone().requires_grad_()
    NearestStableState(grid, eos, scales)(State(temperature, state.salinity)).sum().backward()
    target = adjust(state, eos=eos, grid=grid).temperature
    expected = (state.temperature - target) / scales.temperature[:, None, None] ** 2
    torch.testing.assert_close(temperature.grad, expected / grid.wet.sum())


def test_levels_without_spread_are_left_out(grid: OceanGrid, noisy_state: Build) -> None:
    zero = torch.zeros(grid.shape[0])
    energy = NearestStableState(grid, equation_of_state("nemo-seos"), Scales(zero, zero))
    assert energy(noisy_state()).tolist() == [0, 0, 0]


def test_scales_from_channels_leave_sea_level_out() -> None:
    scales = Scales.from_channels(torch.arange(7.0), levels=3)
    assert scales.temperature.tolist() == [0, 1, 2]
    assert scales.salinity.tolist() == [3, 4, 5]


def horizontal_mean(field: torch.Tensor, grid: OceanGrid) -> torch.Tensor:
    volume = torch.from_numpy(grid.area * grid.wet)
    return (volume * field.double()).sum((-2, -1)) / volume.sum((-2, -1))


def test_mean_profile_counts_offsets_in_scales(
    grid: OceanGrid, noisy_state: Build, scales: Scales
) -> None:
    state = noisy_state(batch=1)
    profiles = (horizontal_mean(x[0], grid) for x in (state.temperature, state.salinity))
    term = MeanProfile(grid, *profiles, scales, per="sample")
    assert term(state).item() == pytest.approx(0, abs=1e-10)
    wet = torch.from_numpy(grid.wet)
    warmer = State(
        state.temperature + 0.5 * scales.temperature[:, None, None] * wet, state.salinity
    )
    assert term(warmer).item() == pytest.approx(0.5 * 0.5**2, rel=1e-4)


def test_ensemble_profile_does_not_see_the_spread(
    grid: OceanGrid, noisy_state: Build, scales: Scales
) -> None:
    base = noisy_state(batch=1)
    profiles = [horizontal_mean(x[0], grid) for x in (base.temperature, base.salinity)]
    wet = torch.from_numpy(grid.wet)
    spread = State.cat([base, base])
    offset = torch.tensor([1.0, -1.0])[:, None, None, None] * wet
    spread = State(spread.temperature + offset, spread.salinity)
    ensemble = MeanProfile(grid, *profiles, scales, per="ensemble")(spread)
    sample = MeanProfile(grid, *profiles, scales, per="sample")(spread)
    assert ensemble.tolist() == pytest.approx([0, 0], abs=1e-9)
    assert (sample > 0.1).all()


def test_wrong_profiles_are_refused(grid: OceanGrid, scales: Scales) -> None:
    with pytest.raises(UserError, match="8 levels"):
        MeanProfile(grid, torch.zeros(3), torch.zeros(8), scales)
    with pytest.raises(UserError, match="'column'"):
        MeanProfile(grid, torch.zeros(8), torch.zeros(8), scales, per="column")  # type: ignore[arg-type]


def test_unstable_pairs_count_inversions_above_the_tolerance(
    grid: OceanGrid, noisy_state: Build
) -> None:
    eos, state = equation_of_state("nemo-seos"), noisy_state(dtype=torch.float64)
    std = torch.linspace(0.1, 0.02, grid.shape[0] - 1)
    steps = density_steps(state, eos=eos, interface_depth=torch.from_numpy(grid.interface_depth))
    pairs = torch.from_numpy(grid.wet[1:] & grid.wet[:-1])
    beyond = (-steps - 0.03).clamp(min=0) / std.double()[:, None, None]
    expected = 0.5 * (beyond**2 * pairs).sum((1, 2, 3)) / pairs.sum()
    term = UnstablePairs(grid, eos, std, tolerance=0.03)
    torch.testing.assert_close(term(state), expected)
    assert (term(state) > 0).all()
    stable = adjust(state, eos=eos, grid=grid)
    assert (UnstablePairs(grid, eos, std)(stable) < 1e-20).all()
    at_most = (-steps * pairs).amax((0, 2, 3)).clamp(min=0)
    assert (UnstablePairs(grid, eos, std, tolerance=at_most)(state) < 1e-20).all()


def test_the_hinge_pulls_an_unstable_pair_apart(grid: OceanGrid, noisy_state: Build) -> None:
    """Warmer above, colder below: it stratifies; the nearest stable state would mix."""
    eos, state = equation_of_state("nemo-seos"), noisy_state(batch=1, noise=0.0)
    temperature = state.temperature.clone()
    row, column = (int(x) for x in torch.from_numpy(grid.wet.all(0)).nonzero()[0])
    temperature[0, 2, row, column] += 3
    temperature.requires_grad_()
    std = torch.full((grid.shape[0] - 1,), 0.1)
    UnstablePairs(grid, eos, std)(State(temperature, state.salinity)).sum().backward()
    assert temperature.grad is not None
    pull = -temperature.grad[0, :, row, column]
    assert pull[1] > 0 > pull[2]


def test_bounds_are_the_freezing_point_and_no_salt(
    grid: OceanGrid, noisy_state: Build, scales: Scales
) -> None:
    state = noisy_state(batch=2, noise=0.1)
    term = PhysicalBounds(grid, scales)
    assert term(state).tolist() == [0, 0]
    level, row, column = (int(x) for x in torch.from_numpy(grid.wet).nonzero()[60])
    temperature, salinity = state.temperature.clone(), state.salinity.clone()
    depth = float(grid.depth[level])
    freezing = freezing_temperature(salinity[0, level, row, column], depth)
    temperature[0, level, row, column] = freezing - scales.temperature[level]
    salinity[1, level, row, column] = -2 * scales.salinity[level]
    energy = term(State(temperature, salinity))
    assert energy.tolist() == pytest.approx(
        [0.5 / grid.wet.sum(), 0.5 * 4 / grid.wet.sum()], rel=1e-4
    )
    projected = term.project(State(temperature, salinity))
    assert term(projected).tolist() == [0, 0]
    assert torch.equal(projected.temperature[1], temperature[1])


@pytest.mark.parametrize("kind", ["unstable_pairs", "physical_bounds"])
def test_rows_share_the_energy(
    grid: OceanGrid, noisy_state: Build, scales: Scales, kind: str
) -> None:
    state, eos = noisy_state(noise=3.0), equation_of_state("nemo-seos")
    state = State(state.temperature - 8, state.salinity)
    term = (
        PhysicalBounds(grid, scales)
        if kind == "physical_bounds"
        else UnstablePairs(grid, eos, torch.full((grid.shape[0] - 1,), 0.1), tolerance=0.01)
    )
    parts = [
        term.part(part)(state.map(lambda field, part=part: field[..., part, :]))
        for part in (slice(0, 2), slice(2, grid.shape[1]))
    ]
    torch.testing.assert_close(sum(parts), term(state))
    assert all((part > 0).all() for part in parts)


KINDS = ("nearest_stable_state", "unstable_pairs", "physical_bounds")
TOLERANCE = 2**-7  # kg/m3, a number of float32


def local_term(kind: str, grid: OceanGrid, scales: Scales) -> ColumnTerm:
    eos = equation_of_state("nemo-seos")
    if kind == "nearest_stable_state":
        return NearestStableState(grid, eos, scales)
    if kind == "physical_bounds":
        return PhysicalBounds(grid, scales)
    return UnstablePairs(grid, eos, 0.5 * scales.salinity[1:], tolerance=TOLERANCE)


def with_a_weight_for_each_cell(
    term: ColumnTerm, grid: OceanGrid, scales: Scales, rows: slice
) -> Callable[[State], torch.Tensor]:
    """The energy of some rows, by weights of all cells or interfaces of the whole grid."""
    counted = wet_tensor(grid)
    if isinstance(term, UnstablePairs):
        counted, scales = wet_pairs(counted), (0.5 * scales.salinity[1:],)
    weights = [
        (counted * inverse_square(scale)[:, None, None] / counted.sum())[:, rows]
        for scale in scales
    ]

    def energy(state: State) -> torch.Tensor:
        if isinstance(term, UnstablePairs):
            depth = torch.from_numpy(grid.interface_depth)
            steps = density_steps(state, eos=term.eos, interface_depth=depth, constant_slopes=True)
            distances = [(-steps - TOLERANCE).clamp(min=0)]
        else:
            target = term.part(rows).project(state)
            distances = [
                state.temperature - target.temperature,
                state.salinity - target.salinity,
            ]
        return half_squares(distances, weights)

    return energy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 2), slice(1, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_weights_of_the_whole_grid(
    grid: OceanGrid,
    noisy_state: Build,
    scales: Scales,
    kind: str,
    rows: slice,
    dtype: torch.dtype,
) -> None:
    """Bitwise: energy and gradient, also where a level is left out."""
    scales.temperature[3] = scales.salinity[3] = 0
    state = noisy_state(noise=3.0, dtype=dtype)
    fields = [field[..., rows, :] for field in (state.temperature - 8, state.salinity)]
    term = local_term(kind, grid, scales)
    found = []
    for energy in (term.part(rows), with_a_weight_for_each_cell(term, grid, scales, rows)):
        leaves = [field.clone().requires_grad_() for field in fields]
        value = energy(State(*leaves))
        found.append((value, *torch.autograd.grad(value.sum(), leaves)))
    assert (found[0][0] > 0).all()
    assert all(torch.equal(own, expected) for own, expected in zip(*found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_terms_hold_a_weight_for_each_level(grid: OceanGrid, scales: Scales, kind: str) -> None:
    """And none for each cell, which would take gigabytes on a large grid."""
    term = local_term(kind, grid, scales)
    for one in (term, term.part(slice(0, 2))):
        held = [value for name, value in vars(one).items() if name != "grid"]
        lists = [value if isinstance(value, list) else [value] for value in held]
        tensors = [value for values in lists for value in values if torch.is_tensor(value)]
        assert tensors
        assert all(tensor.untyped_storage().nbytes() <= 8 * grid.shape[0] for tensor in tensors)
