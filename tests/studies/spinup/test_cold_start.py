"""Swings of the flow after a start: their figures, and the command with integrations made up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data.errors import UserError
from halocline import main
from integration.integrate import IntegrationResult
from integration.member_run import MemberRun
from integration.settings import IntegrationSettings, PointSettings
from studies.spinup import cold_start

SETTLED = 2e-4


@pytest.fixture
def experiment(basin_run):
    """The tiny experiment with two points of the basin."""
    settings = IntegrationSettings(points=PointSettings(test=2))
    return basin_run.with_settings(integration=settings)


def run(velocities: str, index: int, years: float) -> MemberRun:
    """Kinetic energy that swings about its last value from rest, or begins at 80 % of it."""
    day = np.append(np.arange(0.0, 360 * years - 1e-9, 2.0), 360 * years)
    swing = -np.cos(2 * np.pi * day / 20) * np.exp(-day / 30)
    rise = -0.2 * np.exp(-day / 30)
    energy = SETTLED * (1 + (swing if velocities == "rest" else rise))
    one, column = np.ones(1), np.ones((day.size, 1))
    series = {"kinetic_energy": energy}
    return MemberRun(velocities, index, day / 360, column, column, series, one, one, one, None)


@pytest.fixture
def integrations(monkeypatch):
    """Replaces the integrations; returns what was asked for."""
    asked = []

    def integrate(study, *, workers):
        asked.append(study)
        ((label, starts),) = study.starts.items()
        runs = [run(study.velocities, k, starts.years) for k in range(len(starts.states))]
        return IntegrationResult(runs, {label: starts.years})

    monkeypatch.setattr(cold_start, "integrate_states", integrate)
    return asked


def test_swing_of_a_series():
    figures = cold_start.swing(np.array([0.0, 3.0, 1.0, 2.0]), 2.0)
    assert figures["start_percent"] == figures["lowest_percent"] == 0
    assert figures["highest_percent"] == 150 and figures["mean_percent"] == 75
    assert figures["rise_and_fall_percent"] == 150 + 100 + 50
    assert figures["rms_departure_percent"] == pytest.approx(np.sqrt((1e4 + 2500 + 2500) / 4))


def test_both_ways_to_start_are_compared_on_the_same_states(experiment, integrations):
    found = cold_start.cold_starts(experiment, states=2, days=60.0)
    at_rest, balanced = integrations
    assert at_rest.starts["rest"].years == 1.0
    assert balanced.starts["balanced"].years == pytest.approx(60 / 360)
    assert len(at_rest.starts["rest"].states) == len(balanced.starts["balanced"].states) == 2
    for key in ("conditions", "directory", "record_days"):
        assert getattr(at_rest, key) == getattr(balanced, key)
    assert [c.parameters.resolution for c in at_rest.conditions] == [2.5, 2.5]
    assert found["rest"]["settled_m2_s2"] == pytest.approx(SETTLED, rel=1e-3)
    assert found["rest"]["start_percent"] == pytest.approx(0.0, abs=0.1)
    assert found["balanced"]["start_percent"] == pytest.approx(80.0, abs=0.1)
    assert found["balanced"]["rise_and_fall_percent"] == pytest.approx(
        20 * (1 - np.exp(-2)), abs=0.1
    )
    assert found["rest"]["rise_and_fall_percent"] > 200


def test_what_cannot_be_compared_is_refused(experiment, integrations, tiny_run):
    with pytest.raises(UserError, match="--days must be between 1 and 180"):
        cold_start.cold_starts(experiment, states=1, days=300.0)
    with pytest.raises(UserError, match="has 2 points; give --states between 1 and 2"):
        cold_start.cold_starts(experiment, states=5, days=60.0)
    with pytest.raises(UserError, match="has no ocean model to integrate"):
        cold_start.cold_starts(tiny_run(), states=1, days=60.0)


def test_the_command_prints_and_writes(experiment, integrations, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("studies.command_line.load_run", lambda config, overrides: experiment)
    path = tmp_path / "cold_start.json"
    words = ["some.yaml", "--states", "1", "--output", str(path)]
    main(["study", "spinup", "cold_start", *words])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["cold_starts"]) == {"rest", "balanced"}
    assert json.loads(path.read_text()) == printed
