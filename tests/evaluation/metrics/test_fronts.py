"""Gradients of fields whose slope is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.geometry import EARTH_RADIUS
from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.fronts import COLUMNS, front_metrics, temperature_gradients

DEGREE = EARTH_RADIUS * np.pi / 180 / 1e5  # 100 km


@pytest.fixture
def plane() -> OceanGrid:
    """Three levels, two of them at 100-500 m; 50 km by 25 km cells with an island."""
    wet = np.ones((3, 6, 8), bool)
    wet[:, 2, 3] = False
    return OceanGrid(
        depth=np.array([5.0, 150.0, 400.0]),
        thickness=np.full(wet.shape, 100.0),
        area=np.full((6, 8), 1.25e9),
        wet=wet,
        longitude=50.0 * np.arange(8),
        latitude=25.0 * np.arange(6),
        horizontal_units="km",
    )


def state_of(temperature: np.ndarray, grid: OceanGrid, *, count: int = 1) -> State:
    field = torch.from_numpy(np.where(grid.wet, temperature, 0.0)).float().repeat(count, 1, 1, 1)
    return State(field, torch.zeros_like(field))


def noise(grid: OceanGrid, *, seed: int = 0, count: int = 4) -> State:
    generator = torch.Generator().manual_seed(seed)
    wet = torch.from_numpy(grid.wet)
    field = wet * (10 + torch.randn(count, *grid.shape, generator=generator))
    return State(field, torch.zeros_like(field))


def test_a_slope_on_a_plane_is_found_everywhere(plane):
    x, y = plane.positions
    temperature = state_of(0.03 * x + 0.04 * y, plane).temperature  # 3 and 4 K per 100 km
    gradients = temperature_gradients(temperature, plane, 0)
    # Of 7 x 5 cells with both neighbours, the island takes itself and two that look at it.
    assert gradients.shape == (1, 35 - 3)
    torch.testing.assert_close(gradients, torch.full_like(gradients, 5.0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("curvilinear", [False, True])
def test_degrees_shrink_with_latitude(plane, curvilinear):
    grid = replace(
        plane,
        longitude=np.arange(8.0) * 2,
        latitude=np.full(6, 60.0) + 1e-3 * np.arange(6),
        horizontal_units="degrees",
    )
    if curvilinear:
        longitude, latitude = grid.positions
        grid = replace(grid, longitude=longitude, latitude=latitude)
    gradients = temperature_gradients(state_of(grid.positions[0], grid).temperature, grid, 0)
    expected = torch.full_like(gradients, 2 * DEGREE**-1)  # 1 K per degree, cos 60 = 1/2
    torch.testing.assert_close(gradients, expected, rtol=1e-3, atol=0)


def test_the_seam_of_a_periodic_grid_is_a_place_like_others(plane):
    temperature = np.zeros(plane.shape)
    temperature[..., -1] = 1.0
    state = state_of(temperature, plane)
    closed = temperature_gradients(state.temperature, plane, 0)
    around = temperature_gradients(state.temperature, replace(plane, periodic_x=True), 0)
    assert (closed > 0).sum() == 5  # only the western side of the warm column
    assert (around > 0).sum() == 10
    assert around.max() == pytest.approx(2.0)  # 1 K per 50 km


def test_doubled_gradients_have_ratio_two(plane):
    state = noise(plane)
    wet = torch.from_numpy(plane.wet)
    doubled = state.map(lambda field: 2 * field - 7 * wet)
    row = front_metrics(doubled, state, plane)
    assert [row[key] for key in row if "ratio" in key] == pytest.approx([2.0] * 6, rel=1e-4)
    mean = float(temperature_gradients(state.temperature, plane, 0).mean())
    assert row["front_w1_surface_K_per_100km"] == pytest.approx(mean, rel=1e-4)


def test_noise_of_two_cells_counts_as_fronts(plane):
    chequered = np.indices(plane.shape).sum(axis=0) % 2
    gradients = temperature_gradients(state_of(chequered, plane).temperature, plane, 0)
    assert gradients.min() == pytest.approx(np.hypot(2.0, 4.0))


def test_levels_are_told_apart(plane):
    state = noise(plane)
    stronger = State(state.temperature.clone(), state.salinity)
    stronger.temperature[:, 1:] *= 3
    row = front_metrics(stronger, state, plane)
    assert row["front_ratio_surface_p90"] == 1.0
    assert row["front_w1_surface_K_per_100km"] == 0.0
    assert row["front_ratio_subsurface_p90"] == pytest.approx(3.0, rel=1e-5)


def test_land_has_no_effect(plane):
    state, reference = noise(plane, seed=1), noise(plane, seed=2)
    spoiled = state.map(lambda field: torch.where(torch.from_numpy(plane.wet), field, torch.nan))
    assert front_metrics(spoiled, reference, plane) == front_metrics(state, reference, plane)


def test_keys_are_described_and_nan_where_there_is_no_such_place(plane):
    state = noise(plane)
    row = front_metrics(state, state, plane)
    assert set(row) == {column.key for column in COLUMNS}
    shallow = front_metrics(state, state, replace(plane, depth=np.array([5.0, 10.0, 20.0])))
    assert np.isnan(shallow["front_ratio_subsurface_p50"])
    assert np.isnan(shallow["front_w1_subsurface_K_per_100km"])
    flat = state_of(np.ones(plane.shape), plane)
    assert np.isnan(front_metrics(state, flat, plane)["front_ratio_surface_p50"])
