"""Networks of observations of a true state."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from guidance.observation_errors import RepresentationError
from studies.observations.networks import Twin, places_of
from studies.observations.settings import NETWORKS, TwinSettings


@pytest.fixture
def observe(tiny_grid, tiny_states):
    """Observes one state by a network."""
    grid = tiny_grid()
    truth = tiny_states(grid, batch=1, seed=0)
    levels = np.full(len(grid.depth), 0.5)
    error = RepresentationError(grid.depth, levels, 0.1 * levels)
    return lambda network, seed=0: Twin.of(truth, network, grid, representation=error, seed=seed)


def test_profiles_are_at_random_wet_places(tiny_grid):
    grid = tiny_grid()
    places = places_of("profiles_12", grid, np.random.default_rng(0))
    assert len(np.unique(places.profile)) == 2 * 12  # each quantity is numbered by itself
    assert places.depth.max() == 2000
    assert np.ptp(places.longitude) > 15
    other = places_of("profiles_12", grid, np.random.default_rng(1))
    assert other.longitude[0] != places.longitude[0]


def test_a_section_is_one_meridian_to_the_floor(tiny_grid):
    places = places_of("section", tiny_grid(), np.random.default_rng(0))
    assert len(np.unique(places.longitude)) == 1
    assert len(np.unique(places.latitude)) >= 10
    assert set(places.quantity) == {"temperature", "salinity"}


def test_the_surface_is_temperature_of_all_columns(tiny_grid):
    grid = tiny_grid()
    places = places_of("surface_temperature", grid, np.random.default_rng(0))
    assert len(places) == grid.wet[0].sum()
    assert set(places.quantity) == {"temperature"} and (places.depth == 0).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_values_are_those_of_the_truth_with_errors_of_measurement(observe, network):
    twin = observe(network)
    misfit = twin.observations.value - twin.operator(twin.truth)[0].numpy()
    assert np.std(misfit / twin.observations.error) == pytest.approx(1.0, abs=0.4)
    assert (observe(network).observations.value == twin.observations.value).all()
    assert np.diag(twin.covariance).min() > twin.observations.error.min() ** 2


def test_cells_that_a_section_sees_are_its_own(observe):
    twin = observe("section")
    seen = twin.seen_cells()["temperature"]
    assert (seen.any(dim=0).any(dim=0)).sum() == 1  # the column of cells
    at_surface = observe("surface_temperature").seen_cells()
    assert not at_surface["temperature"][1:].any() and not at_surface["salinity"].any()
    assert (
        at_surface["temperature"][0].numpy() == (twin.truth.temperature[0, 0] != 0).numpy()
    ).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ["profile_40"]}, "did you mean profiles_40"),
        ({"only": ["kalman"]}, "no method kalman"),
        ({"members": 1}, "at least 2"),
        ({"truths": 0}, "at least 1"),
        ({"localisation_km": 0.0}, "more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        TwinSettings(**options)
