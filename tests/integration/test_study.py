"""Start states of the basin and the conditions of its runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from configs.stages import train_codec, train_denoiser
from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import wet_tensor
from data.state import State
from guidance.seawater import equation_of_state
from guidance.settings import GuidanceSettings
from guidance.stratification import density_steps, wet_pairs
from integration.settings import IntegrationSettings, PointSettings, StartSettings
from integration.study import finished_study, planned, points_of

STARTS = {
    "truth": StartSettings(states="own"),
    "floor": StartSettings(states="another"),
    "mean": StartSettings(states="training_mean", members=2),
    "nearest_member": StartSettings(states="nearest_member"),
    "analytic": StartSettings(states="analytic", members=1, long_members=1, long_years=9.0),
}
LEARNED = {
    "generated": StartSettings(states="generated"),
    "generated_seed_1": StartSettings(states="generated", seed=1),
    "unguided": StartSettings(
        states="generated", guidance=GuidanceSettings(enabled=False, adjust=False)
    ),
    "expected": StartSettings(states="expected"),
}


def _with(run, starts):
    given = {"points": PointSettings(test=2, outside=1), "starts": starts}
    settings = run.settings.integration.model_copy(update=given)
    return run.with_settings(integration=settings)


@pytest.fixture
def run(basin_run):
    """Two test points and one outside, without states that must be learned."""
    return _with(basin_run, STARTS)


def test_members_of_equal_index_share_conditions_that_no_state_has_seen(run):
    study = planned(run)
    winds = [conditions.parameters.wind_stress_scale for conditions in study.conditions]
    assert winds == [0.8, 1.2, 1.6]
    assert [conditions.seed for conditions in study.conditions] == [12345, 12346, 12347]
    assert [conditions.start_year for conditions in study.conditions] == [1000.75] * 3
    assert {name: len(starts.states) for name, starts in study.starts.items()} == {
        "truth": 3,
        "floor": 3,
        "mean": 2,
        "nearest_member": 3,
        "analytic": 1,
    }
    assert study.starts["analytic"].states == [None]
    assert (study.starts["analytic"].long_members, study.starts["analytic"].long_years) == (1, 9.0)


def test_each_kind_of_start_has_its_states(run):
    study, archive, points = planned(run), run.archive, points_of(run)
    rows = {"truth": points.index, "floor": points.another, "nearest_member": points.nearest}
    for label, expected in rows.items():
        states = archive.read(expected).temperature.double().numpy()
        for (temperature, _), own in zip(study.starts[label].states, states, strict=True):
            np.testing.assert_array_equal(temperature, own)
    training = archive.read(archive.indices("train")).temperature.double().numpy()
    one, other = study.starts["mean"].states
    np.testing.assert_allclose(one[0], training.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.slow
def test_learned_starts_have_the_conditions_of_their_points(basin_run):
    run = _with(basin_run, LEARNED)
    train_codec(run)
    train_denoiser(run)
    study = planned(run)
    assert all(len(starts.states) == 3 for starts in study.starts.values())
    drawn = StateArchive.open(run.settings.integration.directory / "samples" / "generated.zarr")
    assert drawn.parameters["wind_stress_scale"].tolist() == [0.8, 1.2, 1.6]
    for label in ("generated", "expected"):  # adjusted, so that the basin does not convect at once
        for temperature, salinity in study.starts[label].states:
            assert _unstable(State(*map(_batch, (temperature, salinity))), run) == 0
    own, other = (study.starts[label].states for label in ("generated", "generated_seed_1"))
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(own, other, strict=True))


def _batch(field: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(field)[None]


def _unstable(state: State, run) -> int:
    grid = run.archive.grid
    steps = density_steps(
        state,
        eos=equation_of_state(run.archive.equation_of_state),
        interface_depth=torch.from_numpy(grid.interface_depth),
    )
    return int((steps[:, wet_pairs(wet_tensor(grid))] < -1e-6).sum())


def test_conditions_do_not_depend_on_which_labels_run(run):
    everything, some = planned(run), planned(run, only=["analytic"])
    assert list(some.starts) == ["analytic"]
    assert some.conditions == everything.conditions


def test_nothing_is_drawn_to_report(basin_run):
    run = _with(basin_run, LEARNED)
    assert finished_study(run).runs == []
    assert not (run.settings.integration.directory / "samples").exists()


def test_invalid_studies_are_rejected(run):
    with pytest.raises(UserError, match="no starts training; it has truth, "):
        planned(run, only=["training"])
    with pytest.raises(UserError, match="add the sections integration and conditions"):
        planned(run.with_settings(conditions=None))
    for wrong, complaint in (
        ({"states": "own", "guidance": {}}, "guidance applies to generated states only"),
        ({"states": "expected", "seed": 0}, "seed applies to generated states only"),
        ({"states": "own", "long_members": 1, "long_years": 1.0}, "long_years is 1"),
        ({"states": "own", "members": 2, "long_members": 3}, "only 2 members"),
    ):
        with pytest.raises(ValueError, match=complaint):
            StartSettings.model_validate(wrong)
    assert IntegrationSettings().starts["nearest_member"].states == "nearest_member"
