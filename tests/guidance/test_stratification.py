"""Exact convective adjustment: analytic cases, properties, a real NEMO state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gsw
import numpy as np
import pytest
import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.seawater import Linear, equation_of_state
from guidance.stratification import (
    REFERENCE_DENSITY,
    adjust,
    adjust_in_place,
    adjust_with_gradient,
    buoyancy_frequency_squared,
    density_steps,
    wet_pairs,
)

NAMES = ("veros-vallis", "nemo-seos", "nemo-teos10", "jmd95")
Build = Callable[..., State]


def column(temperature: list[float], salinity: list[float]) -> State:
    """One column as a state `1 z 1 1`, float64."""
    fields = (torch.tensor(x, dtype=torch.float64) for x in (temperature, salinity))
    return State(*(field[None, :, None, None] for field in fields))


def column_grid(thickness: list[float], *, wet: int | None = None) -> OceanGrid:
    """One column whose first `wet` cells are ocean."""
    faces = np.cumsum([0.0, *thickness])
    levels = len(thickness)
    return OceanGrid(
        depth=0.5 * (faces[1:] + faces[:-1]),
        thickness=np.array(thickness)[:, None, None],
        area=np.ones((1, 1)),
        wet=(np.arange(levels) < (levels if wet is None else wet))[:, None, None],
        longitude=np.zeros(1),
        latitude=np.zeros(1),
    )


def steps_of(state: State, grid: OceanGrid, name: str) -> Tensor:
    """Density steps in float64, 0 at land."""
    interface_depth = torch.from_numpy(grid.interface_depth)
    steps = density_steps(
        state.map(Tensor.double), eos=equation_of_state(name), interface_depth=interface_depth
    )
    return steps * wet_pairs(wet_tensor(grid))


def content(field: Tensor, grid: OceanGrid) -> Tensor:
    """sum(thickness * field) of each column, `b y x`."""
    return (torch.from_numpy(grid.thickness * grid.wet) * field.double()).sum(1)


def test_density_steps_of_a_linear_equation() -> None:
    eos = Linear(rho0=1000.0, thermal_expansion=2e-4, haline_contraction=8e-4)
    state = column([12.0, 10.0, 11.0], [35.0, 35.5, 35.5])
    steps = density_steps(state, eos=eos, interface_depth=torch.tensor([10.0, 20.0]))
    torch.testing.assert_close(steps.flatten(), torch.tensor([0.8, -0.2], dtype=torch.float64))


def test_buoyancy_frequency_of_a_linear_stratification() -> None:
    # 0.01 K/m through levels of any thickness: N2 = g alpha dT/dz, with the equation's rho0 = 1026
    grid, eos = column_grid([10.0, 30.0, 15.0, 80.0]), Linear(rho0=REFERENCE_DENSITY)
    state = column((20 - 0.01 * grid.depth).tolist(), [35.0] * 4)
    squared = buoyancy_frequency_squared(state, eos=eos, grid=grid).flatten()
    expected = torch.full_like(squared, 9.81 * eos.thermal_expansion * 0.01)
    torch.testing.assert_close(squared, expected)


@pytest.mark.parametrize("name", ["nemo-teos10", "veros-gsw"])
def test_buoyancy_frequency_agrees_with_gsw(name: str) -> None:
    """Except for the density in the denominator: gsw uses in-situ density, not 1026 kg/m3.

    What remains: its pressure is that of a standard ocean at 0 degC, up to 0.3 % denser than this
    one; the fits of the expansion, 0.1 %; and g, 0.05 %.
    """
    grid = column_grid([40.0] * 40)
    conservative = 3 + 15 * np.exp(-grid.depth / 300)
    absolute = 35.0 - 0.8 * np.exp(-grid.depth / 500)
    pressure = gsw.p_from_z(-grid.depth, 45.0)
    theirs, middle = gsw.Nsquared(absolute, conservative, pressure, 45.0)
    in_situ = gsw.rho(*(0.5 * (x[1:] + x[:-1]) for x in (absolute, conservative)), middle)
    ours = buoyancy_frequency_squared(
        column(conservative.tolist(), absolute.tolist()), eos=equation_of_state(name), grid=grid
    )
    np.testing.assert_allclose(
        ours.flatten().numpy(), theirs * in_situ / REFERENCE_DENSITY, rtol=5e-3
    )


def test_buoyancy_frequency_is_0_at_land_and_differentiable(
    grid: OceanGrid, noisy_state: Build
) -> None:
    state = noisy_state(batch=2).map(Tensor.requires_grad_)
    squared = buoyancy_frequency_squared(state, eos=equation_of_state("jmd95"), grid=grid)
    pairs = wet_pairs(wet_tensor(grid))
    assert not squared[:, ~pairs].any()
    assert squared[:, pairs].all() and (squared < 0).any()
    squared.sum().backward()
    assert state.temperature.grad.isfinite().all() and state.salinity.grad.isfinite().all()


def test_two_layers_mix_by_thickness() -> None:
    mixed = adjust(
        column([10.0, 16.0], [35.0, 35.3]),
        eos=equation_of_state("linear"),
        grid=column_grid([10.0, 20.0]),
    )
    assert mixed.temperature.flatten().tolist() == pytest.approx([14.0, 14.0])
    assert mixed.salinity.flatten().tolist() == pytest.approx([35.2, 35.2])


def test_groups_grow_until_stable() -> None:
    # 12 over 14 mix to 13, which is stable with 13.5 above and 12.5 below; then a colder
    # top layer of 5 sinks through all but the bottom.
    grid = column_grid([10.0, 10.0, 10.0, 10.0, 10.0])
    eos = equation_of_state("linear")
    salt = [35.0] * 5
    calm = adjust(column([13.5, 12.0, 14.0, 12.5, 2.0], salt), eos=eos, grid=grid)
    assert calm.temperature.flatten().tolist() == pytest.approx([13.5, 13.0, 13.0, 12.5, 2.0])
    deep = adjust(column([5.0, 12.0, 14.0, 12.5, 2.0], salt), eos=eos, grid=grid)
    assert deep.temperature.flatten().tolist() == pytest.approx([10.875] * 4 + [2.0])


def test_land_below_takes_no_part() -> None:
    grid = column_grid([10.0, 10.0, 10.0], wet=2)
    state = column([10.0, 12.0, 0.0], [35.0, 35.0, 0.0])
    mixed = adjust(state, eos=equation_of_state("linear"), grid=grid)
    assert mixed.temperature.flatten().tolist() == pytest.approx([11.0, 11.0, 0.0])


def test_salinity_can_stabilise_a_temperature_inversion() -> None:
    state = column([2.0, 4.0], [33.0, 35.0])
    assert adjust(state, eos=equation_of_state("nemo-seos"), grid=column_grid([5.0, 5.0])) is state


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_result_is_stable_conservative_and_final(
    name: str, dtype: torch.dtype, grid: OceanGrid, noisy_state: Build
) -> None:
    state = noisy_state(dtype=dtype)
    eos = equation_of_state(name)
    result = adjust(state, eos=eos, grid=grid)
    assert (steps_of(state, grid, name) < 0).float().mean() > 0.05
    assert not (steps_of(result, grid, name) < 0).any()
    again = adjust(result, eos=eos, grid=grid)
    rounding = torch.finfo(dtype).eps
    for before, after, final in zip(
        state.to_channels().chunk(2, 1),
        result.to_channels().chunk(2, 1),
        again.to_channels().chunk(2, 1),
        strict=True,
    ):
        assert after.dtype == dtype
        torch.testing.assert_close(
            content(after, grid), content(before, grid), rtol=4 * rounding, atol=0
        )
        assert torch.equal(after, final)
        assert not after[:, ~wet_tensor(grid)].any()


@pytest.mark.parametrize("compiled", [True, False])
def test_in_place_the_same_comes_out(
    grid: OceanGrid, noisy_state: Build, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """Also for fields that are views of one tensor, as returned by a decoder."""
    if not compiled:
        monkeypatch.setattr("guidance.stratification.runs_compiled", lambda *fields: False)
    state, eos = noisy_state(batch=2), equation_of_state("nemo-seos")
    expected = adjust(state, eos=eos, grid=grid).to_channels()
    channels = state.to_channels()
    assert not torch.equal(channels, expected)
    monkeypatch.setattr(
        "guidance.stratification.CELLS_IN_PLACE", 3 * state.temperature[..., 0, :].numel()
    )
    adjust_in_place(State.from_channels(channels, levels=state.levels), eos=eos, grid=grid)
    assert torch.equal(channels, expected)


def test_stable_columns_keep_their_bits(grid: OceanGrid, noisy_state: Build) -> None:
    state = noisy_state(noise=0.3)
    stable = (steps_of(state, grid, "nemo-seos") >= 0).all(1)
    assert 0 < stable.sum() < stable.numel()
    result = adjust(state, eos=equation_of_state("nemo-seos"), grid=grid)
    for before, after in (
        (state.temperature, result.temperature),
        (state.salinity, result.salinity),
    ):
        assert torch.equal(before.movedim(1, -1)[stable], after.movedim(1, -1)[stable])
        assert not torch.equal(before, after)


def test_the_batch_does_not_matter(grid: OceanGrid, noisy_state: Build) -> None:
    state, eos = noisy_state(batch=3), equation_of_state("nemo-teos10")
    together = adjust(state, eos=eos, grid=grid).to_channels()
    alone = [
        adjust(state.map(lambda x, i=i: x[i : i + 1]), eos=eos, grid=grid).to_channels()
        for i in range(3)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_inversions_within_the_tolerance_are_kept(grid: OceanGrid, noisy_state: Build) -> None:
    state, eos = noisy_state(), equation_of_state("nemo-seos")
    result = adjust(state, eos=eos, grid=grid, tolerance=0.05)
    steps = steps_of(result, grid, "nemo-seos")
    assert -0.05 <= steps.min() < 0
    with pytest.raises(UserError, match="must be 0 or more"):
        adjust(state, eos=eos, grid=grid, tolerance=-1.0)


def test_the_gradient_of_the_adjustment_is_that_of_averaging() -> None:
    # 12 over 14 mix (weights 1/4 and 3/4); the others are unchanged.
    grid = column_grid([10.0, 10.0, 30.0, 10.0])
    state = column([15.0, 12.0, 14.0, 5.0], [35.0] * 4)
    temperature = state.temperature.requires_grad_()
    adjusted = adjust_with_gradient(state, eos=equation_of_state("linear"), grid=grid)
    assert adjusted.temperature.flatten().tolist() == pytest.approx([15.0, 13.5, 13.5, 5.0])
    weights = torch.tensor([1.0, 2.0, 6.0, 7.0], dtype=torch.float64)[None, :, None, None]
    (adjusted.temperature * weights).sum().backward()
    assert temperature.grad.flatten().tolist() == pytest.approx([1.0, 2.0, 6.0, 7.0])


def test_the_adjustment_differentiates_like_finite_differences(
    grid: OceanGrid, noisy_state: Build
) -> None:
    state, eos = noisy_state(batch=1, dtype=torch.float64), equation_of_state("jmd95")
    target = noisy_state(batch=1, noise=0.3, dtype=torch.float64).temperature

    def cost(temperature: Tensor, salinity: Tensor) -> Tensor:
        adjusted = adjust_with_gradient(State(temperature, salinity), eos=eos, grid=grid)
        return (adjusted.temperature - target).square().sum() + adjusted.salinity.sum()

    fields = (state.temperature, state.salinity)
    gradients = torch.autograd.functional.jacobian(cost, fields)
    random = torch.Generator().manual_seed(0)
    directions = [torch.randn(x.shape, generator=random, dtype=x.dtype) for x in fields]
    step = 1e-7
    forward, backward = (
        cost(*(x + sign * step * d for x, d in zip(fields, directions, strict=True)))
        for sign in (1, -1)
    )
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    torch.testing.assert_close(slope, (forward - backward) / (2 * step), rtol=1e-5, atol=1e-5)
    assert torch.equal(
        adjust_with_gradient(state, eos=eos, grid=grid).to_channels(),
        adjust(state, eos=eos, grid=grid).to_channels(),
    )


def test_sea_level_passes_through(grid: OceanGrid, noisy_state: Build) -> None:
    fields = noisy_state()
    state = State(fields.temperature, fields.salinity, torch.ones(3, *grid.shape[1:]))
    assert adjust(state, eos=equation_of_state("jmd95"), grid=grid).sea_level is state.sea_level


def test_a_state_of_nemo_hardly_changes(shared_data: Path) -> None:
    xarray = pytest.importorskip("xarray")
    path = shared_data / "nemo_dino4deg" / "nemo_dino_4deg.nc"
    file = xarray.open_dataset(path, decode_times=False).isel(time=[-1]).load()
    fields = (np.nan_to_num(file[name].values) for name in ("thetao", "so"))
    state = State(*(torch.from_numpy(field).float() for field in fields))
    grid = OceanGrid(
        depth=file.depth.values.astype(float),
        thickness=np.nan_to_num(file.thickness.values.astype(float)),
        area=file.area.values.astype(float),
        wet=file.mask.values.astype(bool),
        longitude=file.nav_lon.values,
        latitude=file.nav_lat.values,
    )
    unstable = (steps_of(state, grid, "nemo-seos") < 0).double().mean()
    assert unstable < 0.005
    result = adjust(state, eos=equation_of_state("nemo-seos"), grid=grid)
    assert not (steps_of(result, grid, "nemo-seos") < 0).any()
    assert (result.temperature - state.temperature).abs().max() < 0.05


def test_constant_slopes_change_the_gradient_hardly_and_the_steps_not_at_all(
    grid: OceanGrid, noisy_state: Build
) -> None:
    depth, eos = torch.from_numpy(grid.interface_depth), equation_of_state("jmd95")
    pairs = wet_pairs(wet_tensor(grid))
    state = noisy_state(dtype=torch.float64)
    gradients, steps = [], []
    for constant in (False, True):
        temperature = state.temperature.clone().requires_grad_()
        varied = State(temperature, state.salinity)
        step = density_steps(varied, eos=eos, interface_depth=depth, constant_slopes=constant)
        steps.append(step.detach())
        (gradient,) = torch.autograd.grad((pairs * step).square().sum(), temperature)
        gradients.append(gradient)
    torch.testing.assert_close(steps[1], steps[0])
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 0 < error < 0.2
