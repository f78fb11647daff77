"""Conditions of states, and their range in the training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.archive.reader import StateArchive
from data.conditions import Conditions, ConditionSettings, ConditionSpace
from data.errors import UserError

MEMBER = np.repeat([0, 1, 2], 4)
GM = np.repeat([500.0, 1000.0, 2000.0], 4)
WARMING = np.repeat([0.0, 1.0, 2.0], 4)
SETTINGS = ConditionSettings(parameters={"gm": "log", "warming": "linear"}, season=True, age=True)


def archive(**parameters: np.ndarray) -> SimpleNamespace:
    given = {"gm": GM, "warming": WARMING, "age": np.tile([50.0, 60.0, 70.0, 80.0], 3)}
    return SimpleNamespace(
        path=Path("states.zarr"),
        time=np.linspace(0, 8.25, 12),
        parameters=given | parameters,
        units={},
    )


def conditions(settings: ConditionSettings = SETTINGS, **parameters: np.ndarray) -> Conditions:
    return Conditions.of(archive(**parameters), np.arange(12), settings)


def space() -> ConditionSpace:
    return ConditionSpace.of(conditions(), MEMBER, SETTINGS)


def test_names_come_from_the_archive():
    found = conditions()
    assert list(found.values) == ["gm", "warming", "season", "age"]
    assert found.of_state(4)["gm"] == 1000.0
    assert found.values["season"].max() < 1  # of the model time, where the archive has no season
    assert conditions(season=np.full(12, 0.5)).values["season"].tolist() == [0.5] * 12


def test_an_absent_parameter_is_named_with_those_that_exist():
    settings = ConditionSettings(parameters={"wind": "log"})
    with pytest.raises(UserError, match=r"no parameter wind; it has age, gm, warming"):
        conditions(settings)


def test_points_are_standardised_over_members_and_go_back():
    found, point = space(), space().point(conditions().at([0, 4, 8]))
    np.testing.assert_allclose(point.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(point.std(axis=0), 1)
    np.testing.assert_allclose(point[1], 0, atol=1e-12)  # 1000 is the logarithmic middle
    back = found.parameters(point)
    np.testing.assert_allclose(back["gm"], [500, 1000, 2000])
    np.testing.assert_allclose(back["warming"], [0, 1, 2], atol=1e-12)


def test_the_course_is_periodic_in_the_season_and_constant_at_equilibrium():
    found, some = space(), conditions().at([0])
    first, last = (found.course(some.with_values(season=s)) for s in (0.0, 1.0))
    np.testing.assert_allclose(first, last, atol=1e-12)
    old, oldest = (found.course(some.with_values(age=a))[0, 1] for a in (1e4, np.inf))
    assert old == oldest == -found.mean_approach < 0


def test_known_conditions_at_their_mean_differ_from_unknown_ones():
    """The network is given zeros for unknown conditions."""
    features = space().features(conditions())
    assert features.shape == (12, space().size)
    assert (np.abs(features).max(axis=1) >= 1).all()


def test_values_out_of_range_are_refused_with_the_nearest_bound():
    some = conditions().at([0])
    for value, bound in ((400.0, "500"), (2100.0, "2000")):
        with pytest.raises(UserError, match=f"the nearest bound is {bound};.*--extrapolate"):
            space().check(some.with_values(gm=value), extrapolate=False)
        space().check(some.with_values(gm=value), extrapolate=True)
    space().check(some.with_values(gm=1500.0, age=np.inf), extrapolate=False)


def test_a_refusal_names_the_unit_where_it_is_known():
    some = replace(conditions(), units={"gm": "m2 s-1", "warming": "1"})
    found = ConditionSpace.of(some, MEMBER, SETTINGS)
    for values, sentence in (
        ({"gm": 3000.0}, "gm 3000 m2 s-1 is outside .* members, 500 to 2000 m2 s-1: the nearest"),
        ({"warming": 3.0}, "warming 3 is outside .* members, 0 to 2: the nearest"),
    ):
        with pytest.raises(UserError, match=sentence):
            found.check(some.with_values(**values), extrapolate=False)


def test_units_are_those_of_the_archive_and_no_part_of_a_record(write_archive):
    settings = ConditionSettings(parameters={"gm_diffusivity": "log"})
    for name, units in (("a.zarr", {}), ("b.zarr", {"gm_diffusivity": "m2 s-1"})):
        archive = StateArchive.open(write_archive(name, units=units))
        found = Conditions.of(archive, np.arange(10), settings)
        assert found.at([1]).units == ConditionSpace.of(found, archive.member, settings).units
        assert found.units == units
        assert found.as_dict().keys() == {"gm_diffusivity", "certain"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gm": -1.0}, "gm is -1: give a finite number above 0"),
        ({"gm": np.nan}, "gm is nan"),
        ({"warming": np.inf}, "warming is inf: give a finite number$"),
        ({"age": -2.0}, "age is -2 years: give 0 or more"),
        ({"season": np.inf}, "season is inf"),
        ({"season": 7.0}, "season is 7: give the fraction of the year"),
    ],
)
def test_values_that_make_no_sense_are_refused_even_to_extrapolate(values, message):
    with pytest.raises(UserError, match=message):
        space().check(conditions().at([0]).with_values(**values), extrapolate=True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gm": np.full(12, 7.0)}, "gm is 7 in all training states: nothing can be learned"),
        ({"gm": np.arange(1.0, 13.0)}, "gm varies within member 0 .1 to 4."),
        ({"gm": GM - 500}, "set conditions.parameters.gm to linear"),
        ({"gm": np.where(MEMBER == 1, np.nan, GM)}, "gm is not a number in a state of member 1"),
        ({"season": np.full(12, 0.5)}, "season is 0.5 in all .* set conditions.season to false"),
    ],
)
def test_parameters_that_cannot_be_learned_are_refused(parameters, message):
    with pytest.raises(UserError, match=message):
        ConditionSpace.of(conditions(**parameters), MEMBER, SETTINGS)


def test_equilibrium_far_beyond_the_records_is_an_extrapolation():
    """After 20 years half of the adjustment is left."""
    young = conditions(age=np.tile([5.0, 10.0, 15.0, 20.0], 3))
    found = ConditionSpace.of(young, MEMBER, SETTINGS)
    found.check(young.with_values(age=20.0), extrapolate=False)
    with pytest.raises(UserError, match=r"end 20 years after their change, with 51 % of the adj"):
        found.check(young.with_values(age=np.inf), extrapolate=False)
    found.check(young.with_values(age=np.inf), extrapolate=True)


def test_all_conditions_are_needed():
    with pytest.raises(UserError, match="conditions are gm, but the model's are gm, warming, sea"):
        space().check(Conditions({"gm": GM}), extrapolate=True)
