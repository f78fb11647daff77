"""Members that are kept apart, blurred towards each other, or missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.labels import Labels
from evaluation.metrics.members import (
    COLUMNS,
    Members,
    MemberVariance,
    member_metrics,
    member_profiles,
)

MEMBERS = 4


def make_states(grid, count: int, *, seed: int, within: float = 0.2, between: float = 1.0) -> State:
    """`count` states of each of four members, whose means lie 0, 1, 2 and 3 from the first."""
    random = torch.Generator().manual_seed(seed)
    member = torch.arange(MEMBERS).repeat(count)[:, None, None, None]
    wet = torch.from_numpy(grid.wet)
    shape = (MEMBERS * count, *grid.shape)

    def field(mean: float) -> torch.Tensor:
        noise = torch.randn(shape, generator=random)
        return (mean + between * (member - 1.5) + within * noise) * wet

    return State(field(10.0), field(35.0))


def labels(count: int) -> Labels:
    number = MEMBERS * count
    return Labels(np.tile(np.arange(MEMBERS), count), np.arange(number) / 4.0, np.zeros(number))


@pytest.fixture
def members(grid):
    return Members.of(make_states(grid, 30, seed=1), labels(30), grid)


def test_new_states_of_the_same_members_have_the_same_variance(grid, members):
    new = make_states(grid, 8, seed=2)
    assert members.assign(new, grid).tolist() == labels(8).member.tolist()
    values = member_metrics(new, members, grid)
    assert set(values) == {column.key for column in COLUMNS}
    assert [*values.values()] == pytest.approx([1.0] * len(values), abs=0.1)


def test_blurred_members_have_too_much_within_and_too_little_between(grid, members):
    values = member_metrics(make_states(grid, 16, seed=3, within=0.3, between=0.8), members, grid)
    assert values["variance_within_members_mean_temperature"] == pytest.approx(2.25, rel=0.1)
    assert values["variance_between_members_mean_salinity"] == pytest.approx(0.64, rel=0.05)
    assert values["variance_between_members_smallest_salinity"] < 0.7


def test_unlike_climates_near_one_training_member_are_told_apart_if_they_are_known(grid, members):
    noise = make_states(grid, 12, seed=7).map(lambda x: x[::MEMBERS])
    colder = noise.map(lambda x: x - 1.5)
    both, climate = State.cat([noise, colder]), torch.arange(24) // 12
    lumped = member_metrics(both, members, grid, group=torch.zeros(24, dtype=torch.int64))
    known = member_metrics(both, members, grid, group=climate)
    for field in ("temperature", "salinity"):
        key = f"variance_within_members_mean_{field}"
        assert known[key] == pytest.approx(1.0, abs=0.15)
        assert lumped[key] > 5


def test_levels_are_told_apart(grid, members):
    new = make_states(grid, 16, seed=4)
    wide = make_states(grid, 16, seed=4, within=0.4)
    new.temperature[:, 2] = wide.temperature[:, 2]
    profiles = member_profiles(new, members, grid)
    assert profiles["within_temperature"][2] == pytest.approx(4.0, rel=0.1)
    assert profiles["within_temperature"][1] == pytest.approx(1.0, rel=0.1)
    assert profiles["within_salinity"][2] == pytest.approx(1.0, rel=0.1)


def test_a_single_member_generated_has_nothing_between(grid, members):
    second = make_states(grid, 12, seed=5).map(lambda x: x[1::MEMBERS])
    values = member_metrics(second, members, grid)
    assert values["variance_between_members_mean_temperature"] == 0.0
    assert values["variance_within_members_mean_temperature"] == pytest.approx(1.0, abs=0.1)


def test_the_sampling_of_means_is_not_taken_for_a_difference(grid):
    """Groups of equal means: the naive variance of 12 means of 2 states would be half of within."""
    noise = State(*(torch.randn(24, *grid.shape, generator=torch.Generator()) for _ in "TS"))
    variance = MemberVariance.of(noise, torch.arange(24) // 2, grid)
    assert float(variance.within["temperature"].mean()) == pytest.approx(1.0, abs=0.1)
    assert float(variance.between["temperature"].mean()) == pytest.approx(0.0, abs=0.05)


def test_land_does_not_count(grid):
    dry = ~torch.from_numpy(grid.wet)
    training, new = (make_states(grid, 8, seed=seed) for seed in (1, 2))
    expected = member_metrics(new, Members.of(training, labels(8), grid), grid)
    for fill in (torch.nan, 1e3):
        filled = [x.map(lambda y, v=fill: y.masked_fill(dry, v)) for x in (training, new)]
        filled[1].temperature[::2] = new.temperature[::2]
        found = member_metrics(filled[1], Members.of(filled[0], labels(8), grid), grid)
        assert found == pytest.approx(expected)


def test_nothing_is_said_of_one_member_or_of_one_state_of_each(grid, members):
    training = make_states(grid, 8, seed=1)
    alone = Labels(np.zeros(32, int), np.arange(32.0), np.zeros(32))
    values = member_metrics(training, Members.of(training, alone, grid), grid)
    assert np.isnan([*values.values()]).all()
    few = make_states(grid, 1, seed=2)
    assert np.isnan([*member_metrics(few, members, grid).values()]).all()


def test_members_that_hardly_differ_at_a_level_are_not_compared_there(grid):
    training = make_states(grid, 30, seed=1)
    training.temperature[:, 0] = make_states(grid, 30, seed=6, between=0.0).temperature[:, 0]
    members = Members.of(training, labels(30), grid)
    profiles = member_profiles(make_states(grid, 8, seed=2), members, grid)
    assert np.isnan(profiles["between_temperature"]).tolist() == [True] + 4 * [False]
    assert np.isfinite(profiles["within_temperature"]).all()
