"""Distances from the truth's runs, at points inside the hull and outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from integration.integrate import IntegrationResult
from studies.spinup.analysis import Analysis
from studies.spinup.distances import distances, distances_by_depth
from studies.spinup.tables import spinup_table
from tests.studies.spinup.made_up import make_run

YEARS = 4.0
APART = {  # K, of each start at two points inside and one outside
    "truth": (0.0, 0.0, 0.0),
    "floor": (0.1, 0.1, 0.1),
    "generated": (0.2, 0.3, 0.8),
    "nearest_member": (0.5, 1.0, 1.6),
}


def run_of(label, index, apart):
    """A run that is everywhere the same distance from the truth's [K]."""
    truth = make_run("truth", index, YEARS)
    return replace(truth, label=label, temperature=truth.temperature + apart)


@pytest.fixture
def runs():
    return [
        run_of(label, point, apart)
        for label, values in APART.items()
        for point, apart in enumerate(values)
    ]


def found(runs):
    result = IntegrationResult(runs, dict.fromkeys(APART, YEARS), [])
    return distances(Analysis(result), inside=2)


def test_medians_and_ratios_are_those_of_the_points_inside(runs):
    rows = found(runs)
    assert [*rows] == ["floor", "generated", "nearest_member"]
    row = rows["generated"]
    assert (row["points_inside"], row["points_outside"]) == (2, 1)
    assert row["second_year_inside_K"] == pytest.approx(0.25)
    assert row["last_year_inside_K"] == pytest.approx(0.25)
    assert row["last_year_to_floor"] == pytest.approx(2.5)
    assert row["last_year_to_nearest"] == pytest.approx((0.4 + 0.3) / 2)
    assert row["last_year_outside_K"] == pytest.approx(0.8)
    for year in ("second", "last"):
        assert row[f"{year}_year_K"] == pytest.approx({"0": 0.2, "1": 0.3, "2": 0.8})


def test_ratios_are_over_the_points_that_both_finish(runs):
    runs = [
        replace(run, blow_up_year=1.0) if (run.label, run.index) == ("nearest_member", 0) else run
        for run in runs
    ]
    rows = found(runs)
    assert rows["nearest_member"]["points_inside"] == 1
    assert [*rows["nearest_member"]["last_year_K"]] == ["1", "2"]
    assert rows["generated"]["last_year_to_nearest"] == pytest.approx(0.3)


def test_distances_by_depth_are_those_of_the_levels(runs):
    """A run that differs from the truth's at the deepest level, and a little elsewhere."""
    apart = np.array([0.1, 0.1, 0.1, 0.1, 0.8])
    runs = [
        replace(run, temperature=run.temperature + apart - 0.2) if run.label == "generated" else run
        for run in runs
        if run.label != "generated" or run.index == 0
    ]
    result = IntegrationResult(runs, dict.fromkeys(APART, YEARS), [])
    found = distances_by_depth(Analysis(result), "temperature", inside=2)
    assert [*found] == ["floor", "generated", "nearest_member"]
    row = found["generated"]
    assert row["0–300 m"] == pytest.approx(0.1) and row["below 2000 m"] == pytest.approx(0.8)
    table = spinup_table({"spinup": {"depths": {"temperature": found}}}, "depths_temperature")
    assert "| generated | 0.1 | 0.1 |" in table


def test_starts_of_unfinished_runs_have_no_ratio(runs):
    rows = found([run for run in runs if run.label in ("truth", "generated")])
    assert [*rows] == ["generated"]
    assert rows["generated"]["last_year_to_floor"] is None
    table = spinup_table({"spinup": {"distances": rows}}, "distances")
    assert "| generated | 2 | 0.25 | 0.25 | 1 | 0.8 |" in table, (
        "columns without a value are left out"
    )
