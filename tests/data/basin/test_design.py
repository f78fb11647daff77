"""The design of a perturbed-parameter ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from configs import load_experiment
from data.basin.design import REFERENCE, EnsembleSettings, ParameterRange
from data.basin.ensemble import in_running_order

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "ensemble.yaml"


@pytest.fixture(scope="module")
def shipped() -> EnsembleSettings:
    settings = load_experiment(SHIPPED).data.ensemble
    assert settings is not None
    return settings


def changed(settings: EnsembleSettings, **changes: object) -> EnsembleSettings:
    return EnsembleSettings.model_validate(settings.model_dump() | changes)


def test_a_longer_ensemble_continues_a_shorter_one(shipped):
    longer = changed(shipped, members=40)
    assert longer.recorded[:26] == shipped.recorded[:26]


def test_members_branch_from_the_nearest_earlier_training_member(shipped):
    parts = {member.name: member.part for member in shipped.planned}
    names = [REFERENCE, *parts]
    for member in shipped.planned:
        assert names.index(member.parent) < names.index(member.name)
        assert parts.get(member.parent, "train") == "train"
    inside = [np.array(p) for p in shipped.positions]
    third = next(member for member in shipped.planned if member.name == "m02")
    distances = {k: np.linalg.norm(inside[2] - inside[k]) for k in (0, 1)}
    assert third.parent == f"m{min(distances, key=distances.get):02d}"


def test_points_inside_are_within_the_ranges_and_those_outside_beyond(shipped):
    for member in shipped.recorded:
        positions = {
            name: range_.position(getattr(member.parameters, name))
            for name, range_ in shipped.ranges.items()
        }
        outside = [name for name, x in positions.items() if not -1e-9 <= x <= 1 + 1e-9]
        assert bool(outside) == (member.part == "outside")
        assert all(positions[name] == pytest.approx(1.25) for name in outside)


def test_parts_are_what_the_study_needs(shipped):
    parts = [member.part for member in shipped.recorded]
    assert {part: parts.count(part) for part in set(parts)} == {
        "train": 18,
        "validation": 2,
        "test": 6 + 2,  # with two replicates
        "outside": 2,
    }
    replicate = next(m for m in shipped.recorded if m.name == "m03_replicate")
    original = next(m for m in shipped.recorded if m.name == "m03")
    assert replicate.parameters == original.parameters
    assert replicate.parent == original.parent
    assert replicate.seed != original.seed
    assert len({member.seed for member in shipped.recorded}) == len(shipped.recorded)


def test_the_whole_way_is_recorded(shipped):
    times = shipped.record_times
    assert times[:7] == (1, 2, 5, 10, 20, 35, 50)
    np.testing.assert_allclose(np.diff(times[6:]), 1.25)
    assert times[-1] == 110
    continued = next(m for m in shipped.planned if m.name == "m00_continued")
    assert (continued.parent, continued.record_times[-1]) == ("m00", 140)


def test_a_log_range_is_uniform_in_the_logarithm():
    range_ = ParameterRange(low=1.0, high=100.0)
    assert range_.value(0.5) == pytest.approx(10.0)
    assert range_.position(range_.value(1.25)) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"test": [26]}, "the sequence has 0 to 25"),
        ({"validation": [3]}, "both validation and test"),
        ({"ranges": {"wind": {"low": 1, "high": 2}}, "outside": {}}, "no parameter wind"),
        ({"outside": {"hot": {"gm_diffusivty": 1.3}}}, "gm_diffusivty, which has no range"),
        ({"outside": {"m01": {"warming": 1.3}}}, "two members are named m01"),
        ({"continued_years": 100}, "end in year 110 and are continued to 100"),
        ({"early_years": [], "record_years": 0.1, "continued": []}, "no state is recorded"),
        ({"ranges": {"warming": {"low": 0, "high": 2}}}, "low above 0 for a log scale"),
        ({"ranges": {"warming": {"low": 2, "high": 2, "scale": "linear"}}}, "low below high"),
    ],
)
def test_a_design_that_does_not_fit_together_is_refused(shipped, changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        changed(shipped, **changes)


def test_parents_come_first_in_whatever_order_members_run(shipped):
    order = [member.name for member in in_running_order(shipped.planned, 2)]
    assert sorted(order) == sorted(member.name for member in shipped.planned)
    for member in shipped.planned:
        if member.parent != REFERENCE:
            assert order.index(member.parent) < order.index(member.name)


def test_only_some_members_are_simulated_and_orphans_branch_from_the_reference(shipped):
    some = changed(shipped, only=["m03", "m06", "m12", "outside_wind"], continued=[])
    parents = {member.name: member.parent for member in some.planned}
    assert parents == dict.fromkeys(parents, REFERENCE)  # m06 and m12 branch from m04
    assert [*parents] == ["m03", "m06", "m12", "outside_wind"]
    whole = {member.name: member for member in shipped.planned}
    assert some.recorded[0] == whole["m03"]
    with_parent = changed(shipped, only=["m04", "m06"], continued=[])
    assert [member.parent for member in with_parent.planned] == [REFERENCE, "m04"]
    with pytest.raises(ValidationError, match="only names m77"):
        changed(shipped, only=["m77"])


def test_settings_that_came_later_leave_the_plans_of_finished_members_alone(shipped):
    basin = shipped.basin.model_copy(update={"topography_resolution": None})
    plan = changed(shipped, basin=basin.model_dump()).recorded[3].plan()
    assert plan == shipped.recorded[3].plan()
    assert "topography" not in plan
