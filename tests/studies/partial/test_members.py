"""The ways of members, and their fields as vectors."""

from __future__ import annotations

import numpy as np
import pytest

from data.basin.ensemble import finished_file
from data.basin.member_files import read_member
from data.errors import UserError
from studies.ensemble.depth_ranges import ALL_DEPTHS, rms_by_range
from studies.partial.members import Course, Courses, StandardSpace, annual_means

STEP = 1 / 512  # K
TAU = 10.0  # years


@pytest.fixture
def courses(settings, finish, tiny_grid) -> Courses:
    """Five of the training members, and the test member with its replicate."""
    for number in (0, 1, 2, 3, 4, 5):
        finish(f"m0{number}", offset=number, gap=-2.0, tau=TAU)
    finish("m01_replicate")
    return Courses.read(settings, tiny_grid())


def test_the_equilibrium_is_the_mean_of_the_last_40_years(courses):
    course = courses.members["m02"]
    assert course.years.tolist() == [1, 2, 5, 10]
    assert course.ages[[0, -1]].tolist() == [26.25, 65.0]
    ages = 10 + 1.25 * np.arange(1, 45)
    gap = -2 * np.exp(-ages[ages > 25] / TAU).mean()
    surface = courses.members["m00"].equilibrium[0] - courses.members["m00"].means[3][0]
    wet = courses.grid.wet
    np.testing.assert_allclose(surface[wet], gap + 2 * np.exp(-1), atol=STEP)


def test_annual_means_of_a_member_are_about_its_equilibrium(courses, settings):
    member = read_member(finished_file(settings, "m02"), courses.grid)
    means = annual_means(member)
    equilibrium = courses.members["m02"].equilibrium
    assert means.shape[1:] == equilibrium.shape
    assert len(means) == len(courses.members["m02"].ages) - 3, "each of four records in a row"
    np.testing.assert_allclose(means.mean(axis=0), equilibrium, atol=0.05)


def test_a_member_is_as_near_as_it_comes_to_be(courses):
    course: Course = courses.members["m02"]
    end = 2 * np.exp(-course.ages / TAU).mean()
    for age in (2.0, 15.0, 18.0):
        error = 2 * np.exp(-age / TAU) - end
        years, reached = course.years_on(error, 5)
        assert reached and years == pytest.approx(age - 4.5, abs=0.6)
    years, reached = course.years_on(0.0, 5)
    assert not reached and years < 25 - 4.5


def test_replicates_are_left_out_and_unfinished_members_named(courses):
    assert list(courses.members) == ["m00", "m01", "m02", "m03", "m04", "m05"]
    assert courses.missing == ("m06", "m07", "windy")
    assert courses.names("test") == ["m01"] and courses.names("outside") == []


def test_a_step_of_the_parameters_leads_from_the_parent_to_the_member(courses, settings):
    space = StandardSpace(courses.grid, np.ones((2, courses.grid.shape[0])))
    names = ["m00", "m05"]
    records = courses.records(names, space)
    planned = {one.name: one for one in settings.recorded}
    assert planned["m00"].parent == "reference" and planned["m05"].parent in planned
    former = [settings.basin, planned[planned["m05"].parent].parameters]
    for row, before in enumerate(former):
        after = planned[names[row]].parameters
        steps = [
            range_.position(getattr(after, name)) - range_.position(getattr(before, name))
            for name, range_ in settings.ranges.items()
        ]
        np.testing.assert_allclose(records.steps[row], np.sqrt(12) * np.array(steps))


def test_vectors_keep_fields_and_weigh_them_by_level_and_volume(tiny_grid):
    grid = tiny_grid()
    fields = np.random.default_rng(0).normal(size=(6, 2, *grid.shape)) * grid.wet
    fields[:, 0, 1] *= 7
    space = StandardSpace.of(fields, grid)
    vectors = space.vectors(fields)
    np.testing.assert_allclose(space.fields(vectors), fields, atol=1e-12)
    anomalies = vectors - vectors.mean(axis=0)
    assert np.square(anomalies).sum(axis=1).mean() == pytest.approx(2)  # T and S
    assert set(space.levels) == set(range(2 * grid.shape[0]))
    second = space.vectors(fields * (np.arange(grid.shape[0]) == 1)[:, None, None])
    assert set(space.levels[np.abs(second[0]) > 0]) == {1, 1 + grid.shape[0]}
    one_kelvin = StandardSpace(grid, np.ones((2, grid.shape[0])))
    length = np.linalg.norm(one_kelvin.vectors(fields * [[[[1.0]]], [[[0.0]]]]), axis=1)
    assert length[0] == pytest.approx(rms_by_range(fields[0, 0], grid)[ALL_DEPTHS])


def test_too_few_training_members_are_refused(settings, finish, tiny_grid):
    for name in ("m00", "m01", "m02"):
        finish(name)
    with pytest.raises(UserError, match="2 training members are finished"):
        Courses.read(settings, tiny_grid())
