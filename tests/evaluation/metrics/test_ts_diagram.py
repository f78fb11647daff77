"""Volumes of water masses that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.ts_diagram import COLUMNS, classes_of, ts_metrics, volume_census

KEY = "ts_misplaced_percent"


@pytest.fixture
def states(grid, tiny_states):
    return tiny_states(grid, batch=4, seed=1)


def test_the_reference_matches_itself(grid, states):
    assert ts_metrics(states, states, grid) == {KEY: 0.0}
    assert [column.key for column in COLUMNS] == [KEY]


@pytest.mark.parametrize(("warmer", "saltier"), [(100.0, 0.0), (0.0, -10.0), (-100.0, 10.0)])
def test_waters_shifted_out_of_the_range_share_nothing(grid, states, warmer, saltier):
    shifted = State(states.temperature + warmer, states.salinity + saltier)
    assert ts_metrics(shifted, states, grid)[KEY] == pytest.approx(100.0)


def test_a_replaced_cell_counts_by_its_volume(grid, states):
    """A cell far out of range leaves its class: exactly its volume is in another one."""
    changed = states.map(torch.clone)
    changed.temperature[:, 4, 5, 2] = 500.0
    expected = 100 * grid.volume[4, 5, 2] / grid.volume.sum()
    assert ts_metrics(changed, states, grid)[KEY] == pytest.approx(expected)


def test_the_place_of_water_does_not_matter_but_its_pairing_of_t_and_s_does(grid, states):
    open_ocean = replace(grid, wet=np.ones_like(grid.wet), area=np.ones(grid.shape[1:]))
    random = torch.Generator().manual_seed(0)
    waters = states.map(lambda field: torch.rand(field.shape, generator=random))
    turned = waters.map(lambda field: field.roll(3, -1))
    open_ocean = replace(open_ocean, thickness=np.ones(grid.shape))
    assert ts_metrics(turned, waters, open_ocean)[KEY] == pytest.approx(0.0, abs=1e-9)
    unpaired = State(turned.temperature, waters.salinity)
    assert ts_metrics(unpaired, waters, open_ocean)[KEY] > 50.0


def test_the_census_holds_all_volume_also_the_extremes_of_its_own_range(grid, states):
    census = volume_census(states, grid, classes_of(states, grid))
    assert census.shape == (62, 62)
    assert float(census.sum()) == pytest.approx(1.0)
    assert float(census[1:-1, 1:-1].sum()) == pytest.approx(1.0)
    assert census[1].sum() > 0 and census[-2].sum() > 0


def test_water_of_one_salinity_has_a_class(grid, states):
    fresh = State(states.temperature, torch.full_like(states.salinity, 35.0))
    assert ts_metrics(fresh, fresh, grid)[KEY] == 0.0
    assert ts_metrics(states, fresh, grid)[KEY] > 50.0


def test_the_number_of_states_does_not_matter(grid, states):
    twice = State.cat([states, states])
    assert ts_metrics(twice, states, grid)[KEY] == pytest.approx(0.0, abs=1e-9)


def test_land_has_no_effect(grid, states, tiny_states):
    reference = tiny_states(grid, batch=4, seed=2)
    expected = ts_metrics(states, reference, grid)
    wet = torch.from_numpy(grid.wet)
    for fill in (torch.nan, -50.0):
        spoiled = [
            one.map(lambda field: torch.where(wet, field, fill))  # noqa: B023
            for one in (states, reference)
        ]
        assert ts_metrics(*spoiled, grid) == expected
