"""The summary that `halocline ingest` ends with."""

from __future__ import annotations

import json

import torch

from data.readers.clock import Clock
from data.state import State
from data.summary import Stability, Summary


def state_of(grid, temperature, *, sea_level=None):
    warm = torch.full((1, *grid.shape), temperature)
    salt = torch.full((1, *grid.shape), 35.0)
    level = None if sea_level is None else torch.full((1, *grid.shape[1:]), sea_level)
    return State(warm, salt, level)


def test_counts_dates_ranges_and_grid(small_grid):
    stability = Stability("jmd95", lambda state: (0.5 * float(state.temperature.max() > 3), 25.0))
    summary = Summary(small_grid, "1e-3", stability)
    land = state_of(small_grid, 2.0, sea_level=0.5)
    land.temperature[0, 0, 0, 0] = -99  # land
    summary.add(land, member=0, split=0, year=1.0)
    summary.add(state_of(small_grid, 4.0, sea_level=-0.5), member=0, split=2, year=3.0)
    summary.add(state_of(small_grid, 30.5, sea_level=0.0), member=1, split=-1, year=1.0)
    summary.clock = Clock("days since 1990-01-01", "1990-01-01", "360_day")
    lines = str(summary).splitlines()
    assert lines[:11] == [
        "3 states: 1 train, 1 test, 1 unused",
        "  member 0: 1 train, 1 test",
        "  member 1: 1 unused",
        "dates: 1991-01-01 to 1993-01-01, every 2 years",
        "grid: 5 x 6 x 4 cells of 222 x 222 km, periodic in x, 98 wet (81.7 %)",
        "levels: 4, from 10 to 1000 m",
        "in wet cells: T 2 to 30.5 degC, S 35 to 35 1e-3, sea level -0.5 to 0.5 m",
        "independent states: 2 (surface, 10 m), 2 (thermocline, 200 m), 2 (deep, 1000 m)",
        "overturning by jmd95: 0.33 % of the pairs of cells, in 25 % of the columns",
        "warning: 3 states are few: with fewer than 100, generated states tend to repeat them.",
        "warning: the states amount to 2 independent ones (surface, 10 m): with fewer than 20, "
        "means and variances are uncertain; a longer record helps, more frequent states do not.",
    ]
    assert lines[11:] == [
        "warning: 0 states are for validation: fewer than 10 do not show when training should end."
    ]
    described = summary.as_dict()
    assert described["time"]["last"] == "1993-01-01"
    assert described["states"] == {"train": 1, "test": 1, "unused": 1}
    assert json.loads(json.dumps(described)) == described


def test_many_members_are_counted_and_enough_states_give_no_warning(small_grid):
    summary = Summary(small_grid, "g kg⁻¹")
    for member in range(120):
        for year in range(1 + (member == 3)):
            state = state_of(small_grid, 2.0 + 0.01 * member + 0.001 * year)
            summary.add(state, member=member, split=member % 2, year=year)
    assert "  120 members of 1 to 2 states" in str(summary).splitlines()
    assert "dates: years 0 to 1, every 1 years" in str(summary).splitlines()
    assert "sea level" not in str(summary)
    assert "overturning" not in str(summary)
    assert summary.warnings() == []


def test_states_that_overturn_point_to_the_equation_of_state(small_grid):
    summary = Summary(small_grid, "1e-3", Stability("linear", lambda state: (12.0, 80.0)))
    summary.add(state_of(small_grid, 2.0), member=0, split=0, year=0.0)
    assert summary.warnings()[-1].startswith("12 % of the pairs of cells overturn")
