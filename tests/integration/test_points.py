"""Held-out members from which the basin is integrated."""

from __future__ import annotations

import numpy as np
import pytest

from data.archive.reader import StateArchive
from data.conditions import ConditionSettings
from data.errors import UserError
from integration.points import Points

SETTINGS = ConditionSettings(parameters={"wind_stress_scale": "log"}, season=True, age=True)


@pytest.fixture
def archive(basin_archive) -> StateArchive:
    return StateArchive.open(basin_archive)


@pytest.fixture
def points(archive) -> Points:
    return Points.of(archive, SETTINGS, test=2, outside=1)


def names(archive: StateArchive, rows: np.ndarray) -> list[str]:
    return [archive.attributes["members"][member] for member in archive.member[rows]]


def test_points_are_the_last_states_of_members_that_differ(archive, points):
    """A replicate has the parameters of another member and is no further point."""
    assert names(archive, points.index) == ["one", "two", "strong"]
    assert archive.time[points.index].tolist() == [58.75] * 3
    assert points.season.tolist() == [0.75] * 3


def test_runs_have_the_parameters_and_the_time_step_of_their_member(points):
    one, two, strong = points.parameters()
    assert [p.wind_stress_scale for p in (one, two, strong)] == [0.8, 1.2, 1.6]
    assert {p.southern_salinity for p in (one, two, strong)} == {34.4}  # shared by all members
    assert [p.tracer_step_days for p in (one, two, strong)] == [2.0, 1.0, 2.0]
    assert {p.tracer_step_days for p in points.parameters(tracer_step_days=0.5)} == {0.5}


def test_generated_states_are_drawn_at_equilibrium_with_the_expected_mean(points):
    conditions = points.at_equilibrium
    assert conditions.certain
    assert conditions.values["wind_stress_scale"].tolist() == [0.8, 1.2, 1.6]
    assert conditions.values["season"].tolist() == [0.75] * 3
    assert (conditions.values["age"] == np.inf).all()


def test_another_state_is_an_earlier_one_of_the_same_season(archive, points):
    np.testing.assert_array_equal(archive.member[points.another], archive.member[points.index])
    assert archive.time[points.another].tolist() == [53.75] * 3


def test_the_nearest_member_is_a_training_member_in_the_same_season(archive, points):
    """In the logarithm: 0.8 lies nearer to 1.0 (0.22) than to 0.6 (0.29)."""
    assert names(archive, points.nearest) == ["b", "c", "c"]
    assert archive.parameters["season"][points.nearest].tolist() == [0.75] * 3
    assert (archive.split[points.nearest] == 0).all()


def test_too_few_members_and_other_oceans_are_refused(archive, tiny_archive):
    with pytest.raises(UserError, match="2 members in its test part, but the study needs 3"):
        Points.of(archive, SETTINGS, test=3, outside=0)
    with pytest.raises(UserError, match="is not an ensemble of the basin"):
        Points.of(StateArchive.open(tiny_archive), SETTINGS, test=1, outside=0)
