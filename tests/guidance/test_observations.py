"""What a state has at the places of observations: interpolation, means, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.errors import UserError
from data.grid import OceanGrid
from data.observations import Observations
from data.state import State
from guidance.observation_errors import RepresentationError, error_covariance
from guidance.observations import ObservationOperator, misplaced, placed


@pytest.fixture
def plain(tiny_grid) -> OceanGrid:
    """Without land, so that interpolation is exact."""
    grid = tiny_grid(periodic_x=False)
    wet = np.ones_like(grid.wet)
    return replace(grid, wet=wet, thickness=grid.thickness.max(axis=(1, 2))[:, None, None] * wet)


def fields(grid: OceanGrid) -> State:
    """A state that is linear in longitude, latitude and depth."""
    x, y = grid.positions
    linear = (0.5 * torch.from_numpy(x) - 0.2 * torch.from_numpy(y)) - 0.01 * torch.from_numpy(
        grid.depth
    )[:, None, None]
    return State(linear[None], 35 + 0.1 * linear[None], linear[None, 0])


def points(longitude, latitude, depth, *, quantity="temperature") -> Observations:
    longitude, latitude, depth = (
        np.atleast_1d(a).astype(float) for a in (longitude, latitude, depth)
    )
    return Observations.of_points(
        quantity,
        np.zeros(len(longitude)),
        error=0.1,
        longitude=longitude,
        latitude=latitude,
        depth=depth,
    )


def seen(grid: OceanGrid, observations: Observations) -> np.ndarray:
    operator = ObservationOperator(observations, grid, sea_level=True)
    return operator(fields(grid))[0].numpy()


def test_points_of_a_linear_field_are_exact(plain):
    random = np.random.default_rng(0)
    lon, lat, depth = (
        random.uniform(axis[0], axis[-1], 20)
        for axis in (plain.longitude, plain.latitude, plain.depth)
    )
    expected = 0.5 * lon - 0.2 * lat - 0.01 * depth
    np.testing.assert_allclose(seen(plain, points(lon, lat, depth)), expected, atol=1e-6)
    salinity = seen(plain, points(lon, lat, depth, quantity="salinity"))
    np.testing.assert_allclose(salinity, 35 + 0.1 * expected, atol=1e-6)
    level = seen(plain, points(lon, lat, 0.0 * lat, quantity="sea_level"))
    np.testing.assert_allclose(level, 0.5 * lon - 0.2 * lat - 0.01 * plain.depth[0], atol=1e-6)


def test_a_curvilinear_grid_gives_the_same_as_a_regular_one(plain):
    lon, lat = plain.positions
    turned = replace(plain, longitude=lon, latitude=lat)
    where = points([5.0, 11.3, 27.9], [-35.0, -20.2, -1.0], [10.0, 400.0, 50.0])
    np.testing.assert_allclose(seen(turned, where), seen(plain, where), atol=1e-6)


def test_a_sheared_grid_interpolates_linear_fields_exactly(plain):
    lon, lat = plain.positions
    sheared = replace(plain, longitude=lon + 0.3 * lat, latitude=lat + 0.1 * lon)
    at = lon[4, 3] + 0.3 * lat[4, 3] + 1.1, lat[4, 3] + 0.1 * lon[4, 3] + 0.7
    expected = 0.5 * at[0] - 0.2 * at[1] - 0.01 * 60.0
    np.testing.assert_allclose(seen(sheared, points(*at, 60.0)), expected, atol=1e-6)


def test_the_seam_of_a_periodic_axis_has_no_edge(plain):
    """Between the last and the first column, 32 degrees apart on a sector that repeats."""
    periodic = replace(plain, periodic_x=True)
    first, last = seen(periodic, points([0.0, 28.0], [-20.0, -20.0], [10.0, 10.0]))
    middle, turned = seen(periodic, points([30.0, -2.0], [-20.0, -20.0], [10.0, 10.0]))
    assert middle == pytest.approx(0.5 * (first + last))
    assert turned == pytest.approx(middle)


def test_a_periodic_sector_is_not_observed_from_elsewhere(plain):
    periodic = replace(plain, periodic_x=True)
    with pytest.raises(UserError, match="1 of 2 observations lie outside the grid"):
        ObservationOperator(
            points([8.0, 200.0], [-20.0, -20.0], [10.0, 10.0]), periodic, sea_level=False
        )
    turned = points([8.0 - 360.0], [-20.0], [10.0])
    assert seen(periodic, turned)[0] == pytest.approx(seen(periodic, points(8.0, -20.0, 10.0))[0])


def test_means_over_layers_and_boxes_weigh_by_volume(plain):
    layer = replace(points(8.0, -20.0, 0.0), bottom=np.array([100.0]))
    faces = np.concatenate([[0.0], plain.thickness[:, 0, 0].cumsum()])
    overlap = np.diff(faces.clip(0.0, 100.0))
    expected = 0.5 * 8.0 + 0.2 * 20.0 - 0.01 * (overlap * plain.depth).sum() / 100.0
    assert seen(plain, layer)[0] == pytest.approx(expected)

    box = replace(layer, width=np.array([8.1]), height=np.array([8.1]))
    rows, columns = np.ix_(np.abs(plain.latitude + 20) < 4.05, np.abs(plain.longitude - 8) < 4.05)
    field = fields(plain).temperature[0].numpy()
    weight = plain.area[rows, columns] * overlap[:, None, None]
    expected = (field[:, rows, columns] * weight).sum() / weight.sum()
    assert seen(plain, box)[0] == pytest.approx(expected)


def test_land_has_no_part_in_an_observation(tiny_grid):
    grid = tiny_grid()
    wet = torch.from_numpy(grid.wet)
    hot = fields(grid).map(lambda field: torch.where(wet, field, 1e6) if field.ndim == 4 else field)
    coast = points(grid.longitude[4] + 0.7, grid.latitude[5] + 1.0, 30.0)
    assert abs(float(ObservationOperator(coast, grid, sea_level=True)(hot))) < 100


def test_gradients_reach_only_the_cells_of_an_observation(plain):
    state = fields(plain)
    temperature = state.temperature.clone().requires_grad_()
    operator = ObservationOperator(points(9.0, -21.0, 30.0), plain, sea_level=False)
    operator(State(temperature, state.salinity)).sum().backward()
    assert temperature.grad.sum() == pytest.approx(1.0)
    assert (temperature.grad != 0).sum() <= 8


@pytest.mark.parametrize(
    ("longitude", "latitude", "depth", "reason"),
    [
        (16.0, -20.0 + 4.0, 10.0, "lie on land"),  # the island
        (2.0, -55.0, 10.0, "lie outside the grid"),
        (2.0, -8.0, 9000.0, "lie below the sea floor"),
    ],
)
def test_observations_that_no_cell_represents_are_refused(
    tiny_grid, longitude, latitude, depth, reason
):
    grid = tiny_grid(periodic_x=False)
    if reason == "lie on land":
        latitude = float(grid.latitude[grid.shape[1] // 2])
    where = points([longitude, 8.0], [latitude, -8.0], [depth, 10.0])
    assert misplaced(where, grid, sea_level=False)[reason].tolist() == [True, False]
    with pytest.raises(UserError, match=f"1 of 2 observations {reason}, the first temperature at"):
        ObservationOperator(where, grid, sea_level=False)
    assert len(placed(where, grid, sea_level=False)) == 1


def test_sea_level_needs_states_that_have_it(tiny_grid):
    where = points(8.0, -8.0, 0.0, quantity="sea_level")
    with pytest.raises(UserError, match="sea level, which the states do not have"):
        ObservationOperator(where, tiny_grid(), sea_level=False)


def test_errors_of_measurement_and_representation_add_up():
    where = points([8.0, 8.0], [-8.0, -8.0], [0.0, 100.0])
    representation = RepresentationError(
        np.array([0.0, 200.0]), np.array([0.2, 0.4]), np.array([0.1, 0.1])
    )
    found = error_covariance(where, representation=representation)
    np.testing.assert_allclose(found, np.diag([0.01 + 0.04, 0.01 + 0.09]))


def test_errors_are_correlated_within_a_profile_only():
    two = points([8.0, 8.0, 8.0], [-8.0] * 3, [0.0, 100.0, 100.0])
    where = replace(two, profile=np.array([0, 0, 1]))
    found = error_covariance(where, correlation_depth=100.0)
    assert found[0, 1] == pytest.approx(0.01 * np.exp(-1), rel=1e-4)
    assert found[0, 2] == 0
    assert np.linalg.eigvalsh(found).min() > 0


def test_tables_of_observations_are_checked():
    good = points([8.0, 9.0], [-8.0, -8.0], [0.0, 10.0])
    for change, message in [
        ({"error": np.array([0.1, 0.0])}, "1 observations have an error of 0 or less"),
        ({"value": np.array([np.nan, 1.0])}, "1 observations have no finite value"),
        ({"quantity": np.array(["oxygen", "temperature"])}, "observations of 'oxygen'"),
        ({"top": np.array([0.0])}, "2 observed values and 1 of top"),
    ]:
        with pytest.raises(UserError, match=message):
            replace(good, **change)
    with pytest.raises(UserError, match="no observations"):
        good.at(np.array([], dtype=int))
    joined = Observations.joined([good, replace(good, profile=np.array([2, 2])), good])
    assert joined.profile.tolist() == [0, 0, 3, 3, 4, 4]
