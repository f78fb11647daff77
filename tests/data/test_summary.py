"""The summary that `halocline ingest` ends with."""

from __future__ import annotations

import torch

from data.state import State
from data.summary import Summary


def state_of(grid, temperature, *, sea_level=None):
    warm = torch.full((1, *grid.shape), temperature)
    salt = torch.full((1, *grid.shape), 35.0)
    level = None if sea_level is None else torch.full((1, *grid.shape[1:]), sea_level)
    return State(warm, salt, level)


def test_counts_ranges_and_grid(small_grid):
    summary = Summary(small_grid, "1e-3")
    land = state_of(small_grid, 2.0, sea_level=0.5)
    land.temperature[0, 0, 0, 0] = -99  # land
    summary.add(land, member=0, split=0)
    summary.add(state_of(small_grid, 4.0, sea_level=-0.5), member=0, split=2)
    summary.add(state_of(small_grid, 30.5, sea_level=0.0), member=1, split=-1)
    lines = str(summary).splitlines()
    assert lines == [
        "3 states: 1 train, 1 test, 1 unused",
        "  member 0: 1 train, 1 test",
        "  member 1: 1 unused",
        "grid: 5 x 6 x 4 cells, periodic in x, 81.7 % wet",
        "levels: 4, from 10 to 1000 m",
        "in wet cells: T 2 to 30.5 degC, S 35 to 35 1e-3, sea level -0.5 to 0.5 m",
    ]


def test_many_members_are_counted(small_grid):
    summary = Summary(small_grid, "g kg⁻¹")
    for member in range(20):
        for _ in range(1 + (member == 3)):
            summary.add(state_of(small_grid, 2.0), member=member, split=0)
    assert "  20 members of 1 to 2 states" in str(summary).splitlines()
    assert "sea level" not in str(summary)
