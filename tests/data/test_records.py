"""Independent states are counted from temperature at three depths."""

from __future__ import annotations

import numpy as np
import pytest

from data.records import LevelRecord


def red_noise(count, *, memory, seed):
    """First-order autoregressive series; its integral scale is (1 + memory) / (1 - memory)."""
    random = np.random.default_rng(seed)
    series = random.normal(size=count)
    for time in range(1, count):
        series[time] += memory * series[time - 1]
    return series


def record_of(grid, series, *, years, member=0):
    record = LevelRecord(grid)
    pattern = np.linspace(-1, 2, grid.wet[0].size).reshape(grid.wet[0].shape)
    for value, year in zip(series, years, strict=True):
        record.add([10 + value * pattern for _ in record.levels], member=member, year=year)
    return record


def test_levels_are_surface_thermocline_and_deep(small_grid):
    assert LevelRecord(small_grid).levels == {"surface": 0, "thermocline": 2, "deep": 3}


@pytest.mark.parametrize(("memory", "scale"), [(0.0, 1), (0.5, 3), (0.8, 9)])
def test_memory_lowers_the_count(small_grid, memory, scale):
    counts = [
        record_of(small_grid, red_noise(600, memory=memory, seed=seed), years=np.arange(600.0))
        for seed in range(4)
    ]
    mean = np.mean([record.independent()["surface"] for record in counts])
    assert mean == pytest.approx(600 / scale, rel=0.35)
    assert counts[0].decorrelation_years() == pytest.approx(scale, rel=0.5)


def test_a_season_and_a_trend_are_no_memory(small_grid):
    years = np.arange(240) / 12
    noise = red_noise(240, memory=0.0, seed=0)
    course = 5 * np.cos(2 * np.pi * years) + years
    record = record_of(small_grid, noise + course, years=years)
    assert record.independent()["surface"] > 120


def test_members_add_up_and_single_states_count_as_one(small_grid):
    record = record_of(small_grid, [1.0], years=[0.0])
    for member in (1, 2):
        record.add([np.full(small_grid.wet[0].shape, member)] * 3, member=member, year=0.0)
    assert record.independent() == {"surface": 3, "thermocline": 3, "deep": 3}
    assert record.decorrelation_years() == 0


def test_a_record_that_is_too_short_to_tell_counts_as_one(small_grid):
    months = np.arange(5) / 12
    record = record_of(small_grid, red_noise(5, memory=0.9, seed=0), years=months)
    assert set(record.independent().values()) == {1}
    assert record.decorrelation_years() == 0


def test_states_that_are_there_twice_count_once(small_grid):
    series = red_noise(40, memory=0.5, seed=0)
    once = record_of(small_grid, series, years=np.arange(40.0))
    twice = record_of(small_grid, series, years=np.arange(40.0))
    for value in (*series[30:], *series[:10]):
        pattern = np.linspace(-1, 2, small_grid.wet[0].size).reshape(small_grid.wet[0].shape)
        twice.add([10 + value * pattern] * 3, member=1, year=0.0)
    assert twice.independent() == once.independent()
    assert twice.repeated == 20


def test_a_sample_of_a_dense_record_knows_its_season(small_grid):
    """Every seventh of monthly states: too few to resolve the year by themselves."""
    years = np.arange(0, 840, 7) / 12
    slow = red_noise(120, memory=0.8, seed=0)
    series = slow + 20 * np.cos(2 * np.pi * years)
    without = record_of(small_grid, slow, years=years).independent()["surface"]
    record = LevelRecord(small_grid, dense=True)
    pattern = np.linspace(-1, 2, small_grid.wet[0].size).reshape(small_grid.wet[0].shape)
    for value, year in zip(series, years, strict=True):
        record.add([10 + value * pattern] * 3, member=0, year=year)
    assert record.independent()["surface"] == pytest.approx(without, rel=0.3)
    assert record_of(small_grid, series, years=years).independent()["surface"] > 2 * without
