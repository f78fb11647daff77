"""Quantile maps between two climates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.quantiles import Distribution, mapped
from data.state import State
from tests.data.test_regrid import FINE, with_land

GENERATOR = np.random.default_rng(0)


def climate(*, warmer: float = 0.0, wider: float = 1.0, states: int = 24) -> State:
    """States with a front along y, whose salinity is a function of temperature."""
    y = FINE.positions[1] / 80.0
    values = GENERATOR.normal(size=(states, *FINE.shape))
    temperature = 10 * y - 5 * np.arange(3)[:, None, None] + wider * values + warmer
    field = torch.from_numpy(temperature).float()
    return State(field, 35 + 0.1 * field)


def test_one_climate_is_mapped_to_itself() -> None:
    state = climate(states=1)
    found = mapped(state, climate=climate(), target=climate(), grid=FINE)
    change = (found.temperature - state.temperature).square().mean().sqrt()
    assert change < 0.15  # of a standard deviation of 1 K: the maps are of other random states


def test_a_warmer_and_wider_climate_returns() -> None:
    own = climate(states=200)
    other = climate(warmer=3.0, wider=2.0, states=200)
    found = mapped(other, climate=other, target=own, grid=FINE)
    ours, theirs = (x.temperature.transpose(0, 1).flatten(1) for x in (found, own))
    np.testing.assert_allclose(ours.mean(dim=1), theirs.mean(dim=1), atol=0.1)
    np.testing.assert_allclose(ours.std(dim=1), theirs.std(dim=1), rtol=0.05)


def test_water_stays_on_the_target_s_ts_relation() -> None:
    own = climate()
    other = climate(warmer=3.0, wider=2.0)
    fresher = State(other.temperature, other.salinity - 1.0)
    found = mapped(fresher, climate=fresher, target=own, grid=FINE)
    departure = found.salinity - (35 + 0.1 * found.temperature)
    before = fresher.salinity - (35 + 0.1 * fresher.temperature)
    assert float(before.mean()) == pytest.approx(-1.0, abs=0.01)
    assert float(departure.abs().mean()) < 0.06


def test_land_stays_and_there_are_no_seams() -> None:
    land = np.zeros(FINE.shape, dtype=bool)
    land[:, :3, :3] = True
    grid = with_land(FINE, land)
    dry = torch.from_numpy(grid.wet)
    other, own = (one.map(lambda field: field * dry) for one in (climate(warmer=3.0), climate()))
    flat = State(torch.full((1, *FINE.shape), 4.0) * dry, torch.full((1, *FINE.shape), 35.0) * dry)
    found = mapped(flat, climate=other, target=own, grid=grid).temperature[0]
    assert not found[~dry].any()
    steps = found[0, 4:].diff(dim=-1).abs()
    assert float(steps.max()) < 0.35  # between regions' maps, which differ by up to a kelvin


def test_water_of_one_temperature_has_the_middle_of_its_ranks() -> None:
    """Half of the water freezes: its mean, not its coldest rank, is mapped to the target's."""
    values = np.concatenate([np.full(500, -1.8), np.linspace(-1.7, 3.0, 500)])
    found = Distribution.of(values, values).rank(np.array([-1.8, 3.0]))
    np.testing.assert_allclose(found, [0.25, 1.0], atol=0.02)


def test_sea_level_moves_by_one_number() -> None:
    """A single state keeps its sea level's shape."""
    own, other = climate(), climate(states=1)
    slope = torch.from_numpy(FINE.positions[1]).float()[None]
    other = State(other.temperature, other.salinity, slope)
    target = State(own.temperature, own.salinity, torch.ones(24, *FINE.shape[1:]))
    found = mapped(other, climate=other, target=target, grid=FINE)
    assert found.sea_level is not None
    torch.testing.assert_close(found.sea_level, slope - slope.mean() + 1, atol=1e-4, rtol=0)
