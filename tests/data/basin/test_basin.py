"""The basin model: geometry, forcing, exact checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.basin.forcing import BasinParameters, RedNoise
from data.errors import UserError

pytest.importorskip("veros", reason="the basin needs the extra: pip install halocline[basin]")

COARSE = {"resolution": 5.0, "tracer_step_days": 2.0}
STEP = 2 / 360  # years


@pytest.fixture(scope="module")
def run():
    from data.basin.run import BasinRun

    basin = BasinRun(BasinParameters(**COARSE), seed=1)
    basin.advance_to(3 * STEP)
    return basin


def test_a_restored_checkpoint_continues_bit_for_bit(run, tmp_path: Path):
    from data.basin.run import BasinRun

    run.save(tmp_path / "checkpoint.npz")
    again = BasinRun(BasinParameters(**COARSE), seed=1)
    again.load(tmp_path / "checkpoint.npz")
    target = run.year + 3 * STEP
    for basin in (run, again):
        basin.advance_to(target)
    for continued, uninterrupted in zip(again.state(), run.state(), strict=True):
        np.testing.assert_array_equal(continued, uninterrupted)
    assert again.kinetic_energy() == run.kinetic_energy() > 0


def test_states_are_surface_first_and_set_exactly(run):
    wet, depth = run.wet_mask(), run.geometry()["depth"]
    temperature, salinity = run.state()
    assert depth[0] < 100 < depth[-1]
    assert wet[0].sum() > wet[-1].sum() > 0
    assert temperature[0][wet[0]].mean() > temperature[-1][wet[-1]].mean() + 5
    assert not temperature[~wet].any()
    run.set_state(temperature + 0.5 * wet, salinity + 0.1 * wet)
    np.testing.assert_array_equal(run.state()[0], temperature + 0.5 * wet)
    run.set_state(temperature, salinity)


def test_density_follows_the_state_that_is_set(run):
    """The next step's pressure is that of the new state, not of the one before."""
    from guidance.seawater import equation_of_state

    temperature, salinity = run.state()
    wet = run.wet_mask()
    run.set_state(temperature + 0.5 * wet, salinity)
    variables = run._variables
    rho = np.asarray(variables.rho)[2:-2, 2:-2, ::-1, int(variables.tau)].transpose(2, 1, 0)
    fields = (torch.from_numpy(field) for field in run.state())
    depth = torch.from_numpy(run.geometry()["depth"][:, None, None].copy())
    expected = equation_of_state("veros-vallis").density(*fields, depth).numpy() - 1024.0
    np.testing.assert_allclose(rho[wet], expected[wet], atol=1e-9)
    run.set_state(temperature, salinity)


def test_a_flow_under_the_rigid_lid_is_set_as_it_is(run):
    u, v = run.velocities()
    energy = run.kinetic_energy()
    assert energy > 0 and not u[~run.wet_mask()].any()
    run.set_velocities(0.0 * u, 0.0 * v)
    assert run.kinetic_energy() == 0.0
    run.set_velocities(u, v)
    for found, given in zip(run.velocities(), (u, v), strict=True):
        np.testing.assert_allclose(found, given, atol=1e-9)
    assert run.kinetic_energy() == pytest.approx(energy)


def test_a_flow_loses_only_the_divergence_of_its_depth_mean(run):
    before = run.velocities()
    noise = np.random.default_rng(0).normal(size=(2, *run.wet_mask().shape))
    run.set_velocities(*noise)
    w = np.asarray(run._variables.w)[2:-2, 2:-2, :, int(run._variables.tau)]
    assert np.abs(w[..., -1]).max() < 1e-9 < np.abs(w).max()  # none through the surface
    u, _ = run.velocities()
    eastern = run.wet_mask() & np.roll(run.wet_mask(), -1, axis=-1)
    assert not u[~eastern].any()
    # The shear is untouched: a column's flow changes by one number.
    change = np.where(eastern, u - noise[0], np.nan)
    columns = eastern[0]
    spread = np.nanmax(change[:, columns], axis=0) - np.nanmin(change[:, columns], axis=0)
    assert spread.max() < 1e-9
    run.set_velocities(*before)


def test_the_channel_is_open_and_the_basin_is_walled(run):
    wet, latitude = run.wet_mask(), run.geometry()["latitude"]
    through = wet[0].all(axis=1)
    assert through[(latitude > -65) & (latitude < -45)].all()
    assert not through[(latitude > -44) | (latitude < -66)].any()


def test_levels_that_stretch_too_fast_are_refused():
    from data.basin.run import BasinRun

    with pytest.raises(UserError, match=r"8 levels .* use more levels"):
        BasinRun(BasinParameters(resolution=5.0, levels=8), seed=1)


@pytest.mark.slow
def test_red_noise_is_a_function_of_seed_and_time_with_unit_variance():
    x, y = np.linspace(0, 1, 9), np.linspace(-1, 1, 9)
    np.testing.assert_array_equal(RedNoise(4).fields(7.3, x, y), RedNoise(4).fields(7.3, x, y))
    draws = [RedNoise(seed).fields(50.0 + seed, x, y)[0][4, 4] for seed in range(150)]
    assert 0.75 < np.std(draws) < 1.25
    noise = RedNoise(3)
    near, far = noise.fields(10.02, x, y)[0], noise.fields(60.0, x, y)[0]
    now = noise.fields(10.0, x, y)[0]
    assert np.abs(near - now).mean() < 0.2 * np.abs(far - now).mean()


def test_fresher_southern_target_leaves_the_north_alone():
    latitude = np.array([-65.0, -50.0, 0.0, 40.0])
    _, dino = BasinParameters().restoring_targets(latitude, 0.0)
    _, fresh = BasinParameters(southern_salinity=34.4).restoring_targets(latitude, 0.0)
    assert (dino - fresh)[0, 0] == pytest.approx(0.6)
    assert 0 < (dino - fresh)[0, 1] < 0.6
    np.testing.assert_array_equal(fresh[0, 2:], dino[0, 2:])


def test_joined_cells_have_the_floor_and_the_wall_of_those_they_join():
    from data.basin.run import BasinRun
    from data.block_means import BlockMeans

    joined = BasinParameters(resolution=5.0, topography_resolution=2.5, tracer_step_days=2.0)
    assert (joined.blocks, joined.western_edge, joined.unjoined.blocks) == (2, -2.5, 1)
    assert joined.unjoined.resolution == 2.5
    coarse, fine = (BasinRun(each, seed=0).grid() for each in (joined, joined.unjoined))
    np.testing.assert_array_equal(coarse.longitude, np.arange(0.0, 50, 5))
    blocks = BlockMeans.of(fine, coarse)
    # No coarse cell has water where the fine grid has none, and at the surface both have the same.
    assert (blocks.covered[coarse.wet] >= 0.5).all()
    np.testing.assert_allclose(blocks.covered[0], coarse.wet[0], atol=1e-3)
    assert not coarse.wet[0, 14, 0] and coarse.wet[0, 14, 1:].all()


def test_cells_that_join_parts_of_others_are_refused():
    with pytest.raises(ValueError, match="must join whole cells of the topography"):
        BasinParameters(resolution=5.0, topography_resolution=2.0)
