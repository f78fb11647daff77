"""Start states of the basin and the conditions of its runs."""

from __future__ import annotations

import numpy as np
import pytest
from data.basin.simulate import MemberSettings, SimulationSettings

from data.errors import UserError
from guidance.settings import GuidanceSettings
from integration.settings import IntegrationSettings, StartSettings
from integration.study import StartConditions, finished_study, matching_samples, planned


@pytest.fixture
def run(trained, tmp_path):
    """The tiny trained run, as if simulated with two members of different wind."""
    members = [
        MemberSettings(name="weak", seed=1, wind_stress_scale=0.5),
        MemberSettings(name="strong", seed=2, wind_stress_scale=1.5),
    ]
    simulation = SimulationSettings(
        spin_up=MemberSettings(name="spin_up", seed=9), spin_up_years=100.0, members=members
    )
    starts = {
        "truth": StartSettings(states="test", members=3),
        "training_mean": StartSettings(states="training_mean", members=2),
        "nearest": StartSettings(states="nearest_training", members=3),
        "unguided": StartSettings(
            states="generated", guidance=GuidanceSettings(enabled=False, adjust=False)
        ),
        "analytic": StartSettings(states="analytic", members=1, long_members=1, long_years=9.0),
    }
    data = trained.settings.data.model_copy(update={"simulation": simulation})
    integration = IntegrationSettings(directory=tmp_path / "study", starts=starts)
    return trained.with_settings(data=data, integration=integration)


def test_members_of_equal_index_share_conditions_that_no_state_has_seen(run):
    study = planned(run)
    winds = [conditions.parameters.wind_stress_scale for conditions in study.conditions]
    assert winds == [0.5, 1.5, 0.5]
    assert [conditions.seed for conditions in study.conditions] == [12345, 12346, 12347]
    assert all(conditions.start_year >= 172 for conditions in study.conditions)
    assert {name: len(starts.states) for name, starts in study.starts.items()} == {
        "truth": 3,
        "training_mean": 2,
        "nearest": 3,
        "unguided": 2,
        "analytic": 1,
    }
    assert study.starts["analytic"].states == [None]
    assert (study.starts["analytic"].long_members, study.starts["analytic"].long_years) == (1, 9.0)


def test_each_kind_of_start_has_its_states(run):
    study = planned(run, only=["truth", "training_mean", "nearest"])
    archive = run.archive
    conditions = StartConditions.of(run, 3)
    assert set(conditions.index) <= set(archive.indices("test"))
    assert len(set(conditions.index)) == 3
    np.testing.assert_array_equal(
        study.starts["truth"].states[1][0], conditions.states.temperature[1].double().numpy()
    )
    training = archive.read(archive.indices("train")).temperature.double().numpy()
    one, other = study.starts["training_mean"].states
    np.testing.assert_allclose(one[0], training.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(one[0], other[0])
    nearest = study.starts["nearest"].states[0][0]
    assert (nearest == training).all(axis=(1, 2, 3)).any()


def test_conditions_do_not_depend_on_which_labels_run(run):
    everything, some = planned(run), planned(run, only=["analytic"])
    assert list(some.starts) == ["analytic"]
    assert some.conditions == everything.conditions


def test_nothing_is_drawn_to_report(run):
    assert finished_study(run).runs == []
    assert not run.samples("guided_adjusted").exists()
    assert not (run.settings.integration.directory / "samples").exists()


def test_each_condition_gets_a_different_sample_of_its_member(run):
    archive = run.archive
    conditions = StartConditions.of(run, 4)
    train = archive.indices("train")
    member = archive.member[train]
    shuffled = np.random.default_rng(0).permutation(len(train))
    samples = archive.read(train[shuffled])
    chosen = matching_samples(samples, conditions, 4)
    assert len(set(chosen)) == 4
    np.testing.assert_array_equal(member[shuffled][chosen], conditions.member)


def test_invalid_studies_are_rejected(run):
    with pytest.raises(UserError, match="no starts training; it has truth, "):
        planned(run, only=["training"])
    many = {"truth": StartSettings(states="test", members=9)}
    settings = run.settings.integration.model_copy(update={"starts": many})
    larger = run.with_settings(integration=settings)
    with pytest.raises(UserError, match="has 4 held-out states, but the study needs 9"):
        planned(larger)
    for wrong, complaint in (
        ({"states": "test", "guidance": {}}, "guidance applies to generated states only"),
        ({"states": "test", "long_members": 1, "long_years": 1.0}, "long_years is 1"),
        ({"states": "test", "long_members": 3}, "only 2 members"),
    ):
        with pytest.raises(ValueError, match=complaint):
            StartSettings.model_validate(wrong)
