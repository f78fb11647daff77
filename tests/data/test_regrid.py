"""Regridding: exact means, exact interpolation of linear fields, and what is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.block_means import BlockMeans
from data.errors import UserError
from data.grid import OceanGrid
from data.regrid import Regridding, coarsened
from data.state import State

LEVELS = np.array([10.0, 30.0, 60.0])
FACES = np.array([0.0, 20.0, 40.0, 80.0])


def make_grid(
    longitude: np.ndarray, latitude: np.ndarray, *, units: str = "km", periodic: bool = False
) -> OceanGrid:
    """A grid without land; areas are of a plane, so that sums are easy to check."""
    shape = len(LEVELS), len(latitude), len(longitude)
    side = abs(float(longitude[1] - longitude[0])) * 1000.0
    return OceanGrid(
        LEVELS,
        np.broadcast_to(np.diff(FACES)[:, None, None], shape).copy(),
        np.full(shape[1:], side**2),
        np.ones(shape, dtype=bool),
        longitude,
        latitude,
        periodic_x=periodic,
        horizontal_units=units,
        level_faces=FACES,
    )


FINE = make_grid(np.arange(5.0, 120, 10), np.arange(5.0, 80, 10))


def with_land(grid: OceanGrid, land: np.ndarray) -> OceanGrid:
    """The grid with some cells of `z y x` as land."""
    return replace(grid, wet=grid.wet & ~land)


def state_of(values: np.ndarray, grid: OceanGrid) -> State:
    """A state whose temperature has `values` `z y x`, and its negative as salinity."""
    field = torch.from_numpy(values * grid.wet)[None].float()
    return State(field, -field)


def linear(grid: OceanGrid) -> np.ndarray:
    """A field `z y x` that is linear in all coordinates."""
    x, y = grid.positions
    return 0.1 * x - 0.03 * y + 0.02 * grid.depth[:, None, None]


def test_means_over_joined_cells_are_those_of_their_volumes() -> None:
    floor = np.zeros(FINE.shape, dtype=bool)
    floor[2, :, 0] = True
    thickness = FINE.thickness.copy()
    thickness[2, 1, 1] = 10.0  # a partial cell
    grid = with_land(replace(FINE, thickness=thickness), floor)
    coarse = coarsened(grid, 2)
    means = BlockMeans.of(grid, coarse)
    values = np.random.default_rng(0).normal(size=grid.shape)
    found = means(torch.from_numpy(values)[None])[0].numpy()
    cell = np.ravel_multi_index((2, 0, 0), coarse.shape)
    column = grid.volume[2, :2, :2]
    assert column.ravel().tolist() == [0, 40e8, 0, 10e8]
    expected = (values[2, :2, :2] * column).sum() / column.sum()
    assert found[means.cells.tolist().index(cell)] == pytest.approx(expected, abs=1e-12)


def test_coarsening_keeps_the_content_and_interpolation_gives_linear_fields() -> None:
    coarse = coarsened(FINE, 2)
    state = state_of(linear(FINE), FINE)
    down = Regridding(FINE, coarse)(state)
    np.testing.assert_allclose(down.state.temperature[0], linear(coarse), atol=1e-5)
    up = Regridding(coarse, FINE)(down.state)
    inside = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(up.state.temperature[0][inside], linear(FINE)[inside], atol=1e-5)
    np.testing.assert_allclose(up.state.salinity, -up.state.temperature)
    assert up.unseen == 0 and down.unseen == 0


def test_a_cell_shared_by_two_counts_by_its_parts() -> None:
    """Cells of 30 km over cells of 10 and 20 km: the second fine cell belongs to two."""
    fine = make_grid(np.arange(10.0, 60, 20), np.array([15.0, 45.0]))
    coarse = make_grid(np.array([15.0, 45.0]), np.array([15.0, 45.0]))
    values = np.broadcast_to(np.array([1.0, 4.0, 7.0]), fine.shape)
    means = BlockMeans.of(fine, coarse)(torch.from_numpy(values.copy())[None])[0]
    np.testing.assert_allclose(means.view(coarse.shape)[0, 0], [2.0, 6.0])


def test_gaps_have_the_nearest_value_and_are_reported() -> None:
    land = np.zeros(FINE.shape, dtype=bool)
    land[:, :, 8:] = True
    land[2] = True
    source = with_land(FINE, land)
    found = Regridding(source, FINE)(state_of(linear(FINE), source))
    temperature = found.state.temperature[0]
    np.testing.assert_allclose(temperature[0, :, 8:], temperature[0, :, 7:8].expand(-1, 4))
    np.testing.assert_allclose(temperature[2], temperature[1])
    np.testing.assert_array_equal(found.filled, land)


def test_what_the_target_does_not_hold_is_reported() -> None:
    land = np.zeros(FINE.shape, dtype=bool)
    land[:, :2] = True
    target = with_land(FINE, land)
    assert Regridding(FINE, target)(state_of(linear(FINE), FINE)).unseen == pytest.approx(0.25)


def test_a_world_may_begin_at_another_longitude() -> None:
    degrees = np.arange(-85.0, 90, 10)
    east = make_grid(np.arange(5.0, 360, 10), degrees, units="degrees", periodic=True)
    west = make_grid(np.arange(-175.0, 180, 10), degrees, units="degrees", periodic=True)
    wave = np.cos(np.deg2rad(east.positions[0])) * np.ones(east.shape)
    found = Regridding(east, west)(state_of(wave, east))
    expected = np.cos(np.deg2rad(west.positions[0])) * np.ones(west.shape)
    np.testing.assert_allclose(found.state.temperature[0], expected, atol=1e-5)
    means = BlockMeans.of(east, coarsened(west, 2))(torch.from_numpy(wave)[None])[0]
    coarse = np.cos(np.deg2rad(coarsened(west, 2).positions[0]))
    np.testing.assert_allclose(means.view(3, 9, 18)[0], np.cos(np.deg2rad(5)) * coarse, atol=1e-9)


def test_columns_of_a_curvilinear_grid_belong_to_the_nearest_cell() -> None:
    x, y = FINE.positions
    turned = replace(FINE, longitude=x, latitude=y)
    coarse = coarsened(FINE, 2)
    values = torch.from_numpy(linear(FINE))[None]
    np.testing.assert_allclose(
        BlockMeans.of(turned, coarse)(values), BlockMeans.of(FINE, coarse)(values), atol=1e-12
    )


def test_means_are_over_the_layers_of_the_coarse_grid() -> None:
    thick = replace(
        coarsened(FINE, 2),
        depth=np.array([20.0, 60.0]),
        level_faces=np.array([0.0, 40.0, 80.0]),
        thickness=np.full((2, 4, 6), 40.0),
        wet=np.ones((2, 4, 6), dtype=bool),
    )
    layers = np.broadcast_to(np.array([1.0, 3.0, 7.0])[:, None, None], FINE.shape)
    means = BlockMeans.of(FINE, thick)(torch.from_numpy(layers.copy())[None])[0]
    np.testing.assert_allclose(means.view(2, 4, 6)[:, 0, 0], [2.0, 7.0])


def test_sea_level_is_regridded_with_the_surface() -> None:
    coarse = coarsened(FINE, 2)
    level = torch.from_numpy(linear(FINE)[0]).float()[None]
    state = state_of(linear(FINE), FINE)
    found = Regridding(FINE, coarse)(State(state.temperature, state.salinity, level)).state
    assert found.sea_level is not None
    np.testing.assert_allclose(found.sea_level[0], linear(coarse)[0], atol=1e-5)


def test_sea_level_needs_no_first_layer_of_the_same_thickness() -> None:
    thick = replace(
        coarsened(FINE, 2),
        depth=np.array([120.0]),
        level_faces=np.array([0.0, 240.0]),
        thickness=np.full((1, 4, 6), 240.0),
        wet=np.ones((1, 4, 6), dtype=bool),
    )
    level = torch.full((1, *FINE.shape[1:]), 0.7)
    state = state_of(linear(FINE), FINE)
    found = Regridding(FINE, thick)(State(state.temperature, state.salinity, level)).state
    assert found.sea_level is not None
    np.testing.assert_allclose(found.sea_level, 0.7, atol=1e-6)


def test_water_below_the_source_is_filled_and_reported() -> None:
    deep = replace(FINE, depth=np.array([10.0, 30.0, 500.0]))
    deep = replace(deep, level_faces=np.array([0.0, 20.0, 40.0, 960.0]))
    found = Regridding(FINE, deep)(state_of(linear(FINE), FINE))
    assert found.filled[2].all() and not found.filled[:2].any()


def test_longitudes_may_jump_by_a_turn_and_latitudes_decrease() -> None:
    degrees = np.arange(-85.0, 90, 10)
    east = make_grid(np.arange(5.0, 360, 10), degrees, units="degrees", periodic=True)
    jumps = make_grid((east.longitude + 180) % 360 - 180, degrees[::-1], units="degrees")
    jumps = replace(jumps, periodic_x=True)
    x, y = east.positions
    values = (np.cos(np.deg2rad(x)) + 0.01 * y) * np.ones(east.shape)
    coarse = coarsened(jumps, 2)
    means = BlockMeans.of(east, coarse)(torch.from_numpy(values)[None])[0].view(coarse.shape)
    x, y = coarse.positions
    expected = np.cos(np.deg2rad(5)) * np.cos(np.deg2rad(x)) + 0.01 * y
    np.testing.assert_allclose(means[0], expected, atol=1e-9)
    across = Regridding(coarse, east)(state_of(np.ones(coarse.shape), coarse)).state
    np.testing.assert_allclose(across.temperature, 1.0, atol=1e-6)


def test_grids_that_do_not_meet_are_refused() -> None:
    away = replace(FINE, longitude=FINE.longitude + 5000)
    with pytest.raises(UserError, match="no water in common"):
        Regridding(FINE, away)(state_of(linear(FINE), FINE))
    with pytest.raises(UserError, match="no water in common"):
        BlockMeans.of(FINE, coarsened(away, 2))
    with pytest.raises(UserError, match="in degrees"):
        Regridding(FINE, replace(FINE, horizontal_units="degrees"))


def test_the_last_joined_cells_may_be_narrower() -> None:
    coarse = coarsened(FINE, 5)  # of 8 x 12 cells
    assert coarse.shape == (3, 2, 3)
    np.testing.assert_allclose(coarse.longitude, [25.0, 75.0, 110.0])
    assert coarse.area.sum() == FINE.area.sum()


def test_a_sector_that_closes_on_itself_has_means_across_its_seam() -> None:
    latitude = np.arange(5.0, 40, 10)
    fine = make_grid(np.arange(1.25, 50, 2.5), latitude, units="degrees", periodic=True)
    coarse = make_grid(np.arange(0.0, 50, 5), latitude, units="degrees", periodic=True)
    blocks = BlockMeans.of(fine, coarse)
    np.testing.assert_allclose(blocks.covered, blocks.covered[0, 0, 5])
    columns = torch.arange(20.0).expand(1, *fine.shape)
    means = blocks(columns).view(coarse.shape)[0, 0]
    torch.testing.assert_close(means[:2], torch.tensor([0.5 * (19 + 0), 0.5 * (1 + 2)]).double())
