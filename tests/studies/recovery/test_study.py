"""The study of recovered parameters, from a trained model to tables and a figure."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from studies.recovery import study
from studies.recovery.estimates import Estimate
from studies.recovery.figures import recovered_parameters
from studies.recovery.scores import summarise
from studies.recovery.settings import LABELS, RecoverySettings
from studies.recovery.study import run
from studies.recovery.tables import recovery_table

OPTIONS = {"truths": 4, "network": "profiles_12"}


@pytest.fixture(scope="module")
def result(result_of, tmp_path_factory):
    """The result of the tiny run."""
    return result_of(run, figures=tmp_path_factory.mktemp("figures"), **OPTIONS)


def test_every_method_estimates_every_parameter(result):
    assert {truth["member"] for truth in result["truths"]} == {4, 5}  # of the test split
    assert set(result["rows"]) == set(LABELS)
    for truth in result["truths"]:
        for row in truth["rows"].values():
            for name in result["parameters"]:
                assert row["low"][name] <= row["median"][name] <= row["high"][name]


def test_observations_narrow_the_range(result):
    rows = result["rows"]
    assert rows["prior"]["width_all"] == pytest.approx(90)
    assert rows["ours"]["width_all"] < 90
    # The true value is beyond the range of the training members, so that none can be right.
    for name in ("optimal_interpolation", "ours"):
        assert rows[name]["error_all"] < rows["prior"]["error_all"]


def test_finished_truths_are_not_repeated(result, conditional, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_of_truth", lambda *_: pytest.fail("estimated again"))
    again = run(conditional, output=tmp_path / "again.json", figures=tmp_path, **OPTIONS)
    assert again["rows"] == result["rows"]
    assert (tmp_path / "recovery_tiny.png").is_file()


def test_a_model_without_conditions_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r"no model with conditions.*configs/quickstart\.yaml"):
        run(trained, output=tmp_path / "result.json")
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"network": "profiles_41"}, "profiles_40"), ({"truths": 0}, "at least 1")],
)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(UserError, match=message):
        RecoverySettings(**options)


def test_a_range_holds_its_share_of_the_probability():
    points = np.arange(1000.0)[:, None]
    even = Estimate.of(points)
    assert (even.low, even.median, even.high) == pytest.approx((49, 499, 949), abs=1)
    probability = np.where(points[:, 0] < 100, 0.01, 0.0)
    first = Estimate.of(points, probability)
    assert (first.low, first.median, first.high) == pytest.approx((4, 49, 94), abs=1)


def test_scores_count_cases_inside_and_compare_with_the_range():
    def truth(true: float) -> dict:
        bounds = {"low": {"a": 0.0}, "median": {"a": 1.0}, "high": {"a": 2.0}, "cpu_seconds": 3.0}
        return {"true": {"a": true}, "rows": dict.fromkeys(LABELS, bounds)}

    row = summarise([truth(1.0), truth(2.0), truth(2.5), truth(-1.0)], {"a": 4.0})["ours"]
    assert row["inside_a"] == row["inside_all"] == 50
    assert row["width_a"] == 50
    assert row["score_a"] == pytest.approx(100 * (2 + 20 * (0.5 + 1.0) / 4) / 4)
    assert row["error_a"] == pytest.approx(100 * np.sqrt((0 + 1 + 2.25 + 4) / 4) / 4)
    assert row["cpu_seconds"] == 3


@pytest.mark.parametrize("group", [None, "inside", "width", "score", "error"])
def test_tables_have_all_methods(result, group):
    lines = recovery_table(result, group).splitlines()
    assert len(lines) == 2 + len(LABELS)
    assert lines[0].count("|") <= 2 + 8
    nearest = next(line for line in lines if "nearest" in line)
    assert ("–" in nearest) == (group != "error")  # a single state has no range
    assert ("150" in lines[2]) == (group in (None, "error"))


def test_the_figure_has_a_panel_for_each_parameter(result):
    figure = recovered_parameters(result)
    assert len(figure.axes) == len(result["parameters"])
