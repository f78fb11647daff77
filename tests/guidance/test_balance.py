"""Balanced velocities and sea level: analytic oceans, symmetries, real models' flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.balance import (
    EARTH_ROTATION,
    Velocities,
    balanced_sea_level,
    balanced_velocities,
    density_anomaly,
)
from guidance.seawater import GRAVITY, Linear, equation_of_state
from guidance.stratification import REFERENCE_DENSITY

EOS = Linear(rho0=1000.0, thermal_expansion=2e-4)  # 0.2 kg/m3 lighter for each K
LAYERS = np.array([20.0, 40.0, 80.0, 160.0, 300.0])
SPACING = 20.0  # km
F_PLANE = np.full((6, 7), 1e-4)
Build = Callable[..., State]


def plane(*, periodic_x: bool = False) -> OceanGrid:
    """A flat-bottomed box of 6 rows and 7 columns, 600 m deep."""
    shape = (len(LAYERS), *F_PLANE.shape)
    return OceanGrid(
        depth=np.cumsum(LAYERS) - 0.5 * LAYERS,
        thickness=LAYERS[:, None, None] * np.ones(shape),
        area=np.full(F_PLANE.shape, (1e3 * SPACING) ** 2),
        wet=np.ones(shape, dtype=bool),
        longitude=SPACING * np.arange(F_PLANE.shape[1]),
        latitude=SPACING * np.arange(F_PLANE.shape[0]),
        periodic_x=periodic_x,
        horizontal_units="km",
    )


def warmed(grid: OceanGrid, warmth: np.ndarray) -> State:
    """One state of salinity 35 whose columns are warmer by `warmth` `y x` [K] than a profile."""
    profile = 5 + 10 * np.exp(-grid.depth / 200)
    temperature = torch.from_numpy(profile[:, None, None] + warmth)[None]
    wet = wet_tensor(grid)
    return State(temperature * wet, torch.full_like(temperature, 35.0) * wet)


def flow(state: State, grid: OceanGrid, **options) -> Velocities:
    return balanced_velocities(state, eos=EOS, grid=grid, **options)


def test_a_front_has_the_shear_of_the_thermal_wind() -> None:
    grid, kelvin = plane(), 0.5  # per cell
    north, east = np.mgrid[:6, :7].astype(float)
    density_slope = 0.2 * kelvin / (1e3 * SPACING)  # kg/m4, of water that cools with y or x
    shear = GRAVITY * density_slope / (1e-4 * REFERENCE_DENSITY)
    expected = torch.from_numpy(shear * (LAYERS.sum() - grid.depth))

    u, v = flow(warmed(grid, -kelvin * north), grid, coriolis=F_PLANE)
    torch.testing.assert_close(u[0, :, 2, 3], expected)
    torch.testing.assert_close(u, u[:, :, 2:3, 3:4] * (u != 0))
    assert u[..., :-1].all() and not u[..., -1].any() and v.abs().max() < 1e-12

    u, v = flow(warmed(grid, -kelvin * east), grid, coriolis=F_PLANE)
    torch.testing.assert_close(v[0, :, 2, 3], -expected)
    assert v[..., :-1, :].all() and not v[..., -1, :].any() and u.abs().max() < 1e-12


def test_no_slope_no_flow_over_any_sea_floor(grid: OceanGrid) -> None:
    state = warmed(grid, np.zeros(grid.shape[1:]))
    for name in ("nemo-teos10", "jmd95"):
        eos = equation_of_state(name)
        for field in balanced_velocities(state, eos=eos, grid=grid):
            assert field.abs().max() < 1e-9
        assert balanced_sea_level(state, eos=eos, grid=grid).abs().max() < 1e-9


@pytest.mark.parametrize("reference", ["floor", 100.0])
def test_there_is_no_flow_on_faces_next_to_land(
    grid: OceanGrid, noisy_state: Build, reference
) -> None:
    wet = wet_tensor(grid)
    u, v = flow(noisy_state(dtype=torch.float64), grid, reference=reference)
    open_u = wet[..., :-1] & wet[..., 1:]
    open_v = wet[:, :-1] & wet[:, 1:]
    assert not u[..., :-1][:, ~open_u].any() and not v[:, :, :-1][:, ~open_v].any()
    assert not u[..., -1].any() and not v[..., -1, :].any()
    assert u[..., :-1][:, open_u].abs().max() > 1e-3
    assert u.isfinite().all() and v.isfinite().all()


def test_the_depth_of_no_motion_has_none() -> None:
    grid = plane()
    state = warmed(grid, np.random.default_rng(0).normal(size=(6, 7)))
    at_floor = flow(state, grid, coriolis=F_PLANE)
    for level in (1, 3):
        depth = float(grid.depth[level])
        found = flow(state, grid, coriolis=F_PLANE, reference=depth)
        for field, other in zip(found, at_floor, strict=True):
            assert field[:, level].abs().max() < 1e-12 < field[:, 0].abs().max()
            # Another reference shifts a column's flow by a constant.
            torch.testing.assert_close(
                (field - other).diff(dim=1), 0.0 * field[:, 1:], atol=1e-12, rtol=0
            )
    deep = flow(state, grid, coriolis=F_PLANE, reference=5000.0)
    torch.testing.assert_close(deep.u, at_floor.u)


def test_the_sea_level_moves_uniform_water_alike_at_all_depths() -> None:
    grid = plane()
    north, east = np.mgrid[:6, :7].astype(float)
    uniform = State(torch.full((1, *grid.shape), 10.0).double(), torch.full((1, *grid.shape), 35.0))
    level = torch.from_numpy(0.02 * north + 0.03 * east)[None]
    state = State(uniform.temperature, uniform.salinity, level)
    u, v = flow(state, grid, coriolis=F_PLANE, reference="sea_level")
    torch.testing.assert_close(
        u[..., :-1], torch.full_like(u[..., :-1], -GRAVITY * 0.02 / (1e-4 * 1e3 * SPACING))
    )
    torch.testing.assert_close(
        v[..., :-1, :], torch.full_like(v[..., :-1, :], GRAVITY * 0.03 / (1e-4 * 1e3 * SPACING))
    )


@pytest.mark.parametrize("periodic_x", [False, True])
def test_sea_level_of_a_deep_ocean_is_its_steric_height_and_yields_its_flow(periodic_x) -> None:
    grid = plane(periodic_x=periodic_x)
    state = warmed(grid, np.random.default_rng(0).normal(size=(6, 7)))
    depth = 250.0
    level = balanced_sea_level(state, eos=EOS, grid=grid, depth=depth)
    anomaly = density_anomaly(state, eos=EOS, grid=grid)
    above = torch.tensor([20.0, 40.0, 80.0, 110.0, 0.0], dtype=torch.float64)[:, None, None]
    steric = -(anomaly * above).sum(1) / REFERENCE_DENSITY
    torch.testing.assert_close(level, steric - steric.mean(), rtol=1e-7, atol=1e-9)
    of_level = flow(
        State(state.temperature, state.salinity, level),
        grid,
        coriolis=F_PLANE,
        reference="sea_level",
    )
    of_depth = flow(state, grid, coriolis=F_PLANE, reference=depth)
    for field, other in zip(of_level, of_depth, strict=True):
        torch.testing.assert_close(field, other, rtol=1e-6, atol=1e-8)


def test_the_seam_of_a_periodic_axis_is_like_any_other_column(tiny_grid, tiny_states) -> None:
    grid = tiny_grid()
    state = tiny_states(grid, batch=2, seed=3).map(Tensor.double)
    turned_grid = replace(
        grid, wet=np.roll(grid.wet, 3, -1), thickness=np.roll(grid.thickness, 3, -1)
    )
    turned_state = state.map(lambda field: field.roll(3, -1))
    for field, turned in zip(flow(state, grid), flow(turned_state, turned_grid), strict=True):
        assert field[..., 1:, -1].any()
        torch.testing.assert_close(turned, field.roll(3, -1))
    torch.testing.assert_close(
        balanced_sea_level(turned_state, eos=EOS, grid=turned_grid),
        balanced_sea_level(state, eos=EOS, grid=grid).roll(3, -1),
        atol=1e-6,
        rtol=0,
    )


def test_the_other_hemisphere_mirrors_the_flow(grid: OceanGrid, noisy_state: Build) -> None:
    grid = replace(grid, latitude=20.0 + np.arange(6.0))
    state = noisy_state(dtype=torch.float64)
    mirrored_grid = replace(
        grid,
        wet=grid.wet[:, ::-1],
        thickness=grid.thickness[:, ::-1],
        area=grid.area[::-1],
        latitude=-grid.latitude[::-1],
    )
    north, south = flow(state, grid), flow(state.map(lambda x: x.flip(-2)), mirrored_grid)
    torch.testing.assert_close(south.u, north.u.flip(-2))
    # The northern faces of the rows are the southern ones of their mirrors.
    torch.testing.assert_close(south.v[..., :-1, :], -north.v[..., :-1, :].flip(-2))


def test_the_flow_fades_towards_the_equator(tiny_grid, tiny_states) -> None:
    grid = tiny_grid(columns=8)
    latitude = np.array([-40.0, -20, -10, -6, -4, -2, 0, 2, 4, 6, 10, 20])
    grid = replace(grid, latitude=latitude)
    state = tiny_states(grid, batch=1, seed=1).map(Tensor.double)
    unweighted = flow(state, grid, equator_scale=1e-3).u
    faded = flow(state, grid, equator_scale=2.2).u
    f = 2 * EARTH_ROTATION * np.sin(np.deg2rad(latitude))
    scale = 2 * EARTH_ROTATION * np.sin(np.deg2rad(2.2))
    weight = torch.from_numpy(1 - np.exp(-((f / scale) ** 2)))[:, None]
    torch.testing.assert_close(faded, unweighted * weight)
    assert not faded[..., latitude == 0, :].any()
    assert weight[latitude == 6] > 0.999 and 0.5 < weight[latitude == 2] < 0.6


def test_states_of_a_batch_do_not_matter_to_each_other(grid: OceanGrid, noisy_state: Build) -> None:
    state = noisy_state(batch=3)
    together = flow(state, grid)
    levels = balanced_sea_level(state, eos=EOS, grid=grid)
    assert together.u.dtype == levels.dtype == torch.float32
    for k in range(3):
        one = state.map(lambda field, k=k: field[k : k + 1])
        for field, alone in zip(together, flow(one, grid), strict=True):
            torch.testing.assert_close(field[k : k + 1], alone, rtol=1e-6, atol=0)
        alone = balanced_sea_level(one, eos=EOS, grid=grid)
        torch.testing.assert_close(levels[k : k + 1], alone, rtol=1e-5, atol=1e-8)


def test_one_column_does_not_move(grid: OceanGrid, noisy_state: Build) -> None:
    single = replace(
        grid,
        thickness=grid.thickness[:, :1, :1],
        area=grid.area[:1, :1],
        wet=grid.wet[:, :1, :1],
        longitude=grid.longitude[:1],
        latitude=grid.latitude[:1],
        periodic_x=True,
    )
    state = noisy_state().map(lambda field: field[..., :1, :1])
    assert not any(field.any() for field in flow(state, single))
    assert not balanced_sea_level(state, eos=EOS, grid=single).any()


def test_invalid_input_raises_one_clear_sentence(grid: OceanGrid, noisy_state: Build) -> None:
    state = noisy_state()
    with pytest.raises(UserError, match="have no sea level"):
        flow(state, grid, reference="sea_level")
    for wrong in (0.0, -5.0, float("nan"), "bottom"):
        with pytest.raises(UserError, match="give floor, sea_level or a depth"):
            flow(state, grid, reference=wrong)
    with pytest.raises(UserError, match="give the Coriolis parameter"):
        flow(state, replace(grid, horizontal_units="km"))
    with pytest.raises(UserError, match="reverse one axis"):
        flow(state, replace(grid, latitude=grid.latitude[::-1]))


def correlation(found: Tensor, truth: Tensor, where: Tensor) -> float:
    found, truth = found[where], truth[where]
    return float((found * truth).sum() / (found.norm() * truth.norm()))


def smooth(field: Tensor) -> Tensor:
    """1-2-1 means along both axes over neighbours with flow."""
    for axis in (-1, -2):
        moves = (field != 0).double()
        total, number = 2 * field, 2 * moves
        for shift in (1, -1):
            total, number = total + field.roll(shift, axis), number + moves.roll(shift, axis)
        field = total / number.clamp(min=1)
    return field


def test_the_flow_of_nemo_is_found_again(shared_data: Path) -> None:
    """Of DINO at 4 degrees after 10 years, away from the equator.

    The grid is too coarse for the western boundary: meridional flow is mostly stripes of one cell
    there, which no balance has; smoothing takes them out of the truth.
    """
    xarray = pytest.importorskip("xarray")
    from data.readers.settings import NemoReader

    folder = shared_data / "nemo_dino4deg"
    grid = (
        NemoReader(periodic_x=True, mesh_mask=folder / "mesh_mask.nc")
        .open(folder / "nemo_dino_4deg.nc")
        .grid
    )
    with xarray.open_dataset(folder / "DINO_00057600_restart.nc", decode_times=False) as restart:
        names = ("tn", "sn", "sshn", "un", "vn")
        temperature, salinity, level, *truth = (torch.from_numpy(restart[n].values) for n in names)
    wet = wet_tensor(grid)
    state = State(temperature * wet, salinity * wet, level * wet[0])
    eos = equation_of_state("nemo-seos")
    away = torch.from_numpy(np.abs(grid.latitude) > 10).expand(1, *grid.shape)
    for reference, least in (("floor", (0.89, 0.44)), ("sea_level", (0.91, 0.46))):
        found = balanced_velocities(state, eos=eos, grid=grid, reference=reference)
        for ours, theirs, raw, smoothed in zip(found, truth, least, (0.97, 0.72), strict=True):
            assert correlation(ours, theirs, away) > raw
            assert correlation(smooth(ours), smooth(theirs), away & (ours != 0)) > smoothed
    found_level = balanced_sea_level(state, eos=eos, grid=grid)
    assert correlation(found_level, level - level[:, wet[0]].mean(), wet[:1]) > 0.9


@pytest.mark.parametrize(
    "name",
    ["mitgcm_global4deg/mitgcm_global4deg_k1000.nc", "mitgcm_eddying_channel/channel_tau012.nc"],
)
def test_the_sea_level_of_mitgcm_is_found_again(shared_data: Path, name: str) -> None:
    xarray = pytest.importorskip("xarray")
    from data.readers.settings import MitgcmReader

    grid = MitgcmReader(periodic_x=True).open(shared_data / name).grid
    with xarray.open_dataset(shared_data / name, decode_times=False) as raw:
        last = raw[["thetao", "so", "zos"]].isel(time=[-1]).fillna(0.0).load()
    temperature, salinity, truth = (
        torch.from_numpy(last[n].values) for n in ("thetao", "so", "zos")
    )
    state, eos = State(temperature.double(), salinity.double()), equation_of_state("jmd95")
    level = balanced_sea_level(state, eos=eos, grid=grid)
    area = torch.from_numpy(grid.area * grid.wet[0])
    truth = truth.double() - (truth * area).sum() / area.sum()
    assert correlation(level, truth, area[None] > 0) > 0.99
