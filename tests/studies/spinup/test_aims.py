"""What starts are meant to reach, on made-up runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from integration.integrate import IntegrationResult
from studies.spinup.aims import aims
from studies.spinup.analysis import Analysis
from studies.spinup.tables import spinup_table
from tests.studies.spinup.made_up import make_run

YEARS = 12.0
INSIDE = 3


def run_of(label, point, apart, *, transport=None, years=YEARS):
    """A run whose distance from the truth's [K] is a function of the time [years]."""
    truth = make_run("truth", point, years)
    temperature = truth.temperature + apart(truth.time)[:, None]
    series = dict(truth.series)
    if transport is not None:
        series["channel_transport"] = np.full_like(truth.time, transport)
    return replace(truth, label=label, temperature=temperature, series=series)


def constant(value):
    return lambda time: np.full_like(time, value)


@pytest.fixture
def runs():
    """A floor of 0.1 K, a start of 0.2 K, and a nearest member that approaches from 1 K."""
    return [
        *(run_of("truth", p, constant(0), transport=100 + p) for p in range(INSIDE + 1)),
        *(run_of("floor", p, constant(0.1), transport=104 + p) for p in range(INSIDE + 1)),
        *(run_of("generated", p, constant(0.2), transport=102 + 3 * p) for p in range(INSIDE)),
        run_of("generated", INSIDE, constant(9.0), transport=0),
        *(run_of("nearest_member", p, lambda t: np.exp(-t / 4)) for p in range(INSIDE)),
    ]


def found(runs, long_runs=()):
    result = IntegrationResult(runs, dict.fromkeys(("truth", *LABELS), YEARS), [*long_runs])
    return aims(Analysis(result), inside=INSIDE, year_seconds=10.0, sampling_seconds=2.5)


LABELS = ("floor", "generated", "nearest_member")


def test_distances_are_held_against_floor_and_nearest_member_inside(runs):
    rows = found(runs)
    assert [*rows] == [*LABELS]
    row = rows["generated"]
    assert row["points"] == INSIDE
    assert row["second_to_floor"] == pytest.approx(2.0)
    assert row["tenth_to_floor"] == pytest.approx(2.0)
    annual = [np.exp(-np.linspace(y, y + 1, 100) / 4).mean() for y in (1, 9)]
    assert row["second_to_nearest"] == pytest.approx(0.2 / annual[0], rel=0.05)
    assert row["tenth_to_nearest"] == pytest.approx(0.2 / annual[1], rel=0.05)


def test_transports_are_held_against_the_range_of_own_states(runs):
    """Own states have 100 and 104 Sv plus the point's number, generated ones 102, 105, 108."""
    row = found(runs)["generated"]
    assert row["channel_transport_inside_percent"] == pytest.approx(200 / 3)
    assert row["channel_transport_error_Sv"] == pytest.approx((2 + 4 + 6) / 3)


def test_years_that_the_nearest_member_needs_and_their_cost(runs):
    row = found(runs)["generated"]
    assert row["nearest_reached"] and row["nearest_years"] == 6
    assert row["nearest_cost"] == pytest.approx(6 * 10 / (10 + 2.5))
    assert "nearest_years" not in found(runs)["nearest_member"]


def test_a_run_that_does_not_come_as_near_gives_a_bound(runs):
    far = [
        run_of("nearest_member", run.index, constant(1.0)) if run.label == "nearest_member" else run
        for run in runs
    ]
    row = found(far)["generated"]
    assert (row["nearest_years"], row["nearest_reached"]) == (12, False)
    table = spinup_table({"spinup": {"aims": found(far)}}, "aims")
    assert "| aim | floor | generated | nearest member |" in table
    assert "| at least 30 | > 12 | > 12 | – |" in table


def test_long_runs_tell_how_long_the_nearest_member_needs(runs):
    def slow(time):
        return np.exp(-time / 20)

    short = [
        run_of("nearest_member", run.index, slow) if run.label == "nearest_member" else run
        for run in runs
    ]
    long = [
        *(run_of("truth", p, constant(0), years=60.0) for p in range(INSIDE)),
        *(run_of("nearest_member", p, slow, years=60.0) for p in range(INSIDE)),
    ]
    row = found(short, long)["generated"]
    assert (row["nearest_years"], row["nearest_reached"]) == (32, True)  # 20 ln 5 = 32.2
    assert row["second_to_nearest"] == found(short)["generated"]["second_to_nearest"]
    only_truth = found(short, long[:INSIDE])["generated"]
    assert (only_truth["nearest_years"], only_truth["nearest_reached"]) == (12, False)


def test_runs_that_diverged_are_left_out(runs):
    lost = [
        replace(run, blow_up_year=1.0) if run.label == "nearest_member" and run.index < 2 else run
        for run in runs
    ]
    rows = found(lost)
    assert rows["nearest_member"]["points"] == 1
    assert rows["generated"]["nearest_years"] == 6
