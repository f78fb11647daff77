"""The study of downscaling, from a trained model to a table."""

from __future__ import annotations

import pytest
import torch

from data.errors import UserError
from data.state import State
from guidance.seawater import equation_of_state
from studies.downscaling.columns import COLUMNS, PHYSICS, Judge, summarise
from studies.downscaling.settings import LABELS, DownscalingSettings
from studies.downscaling.study import run
from studies.downscaling.tables import downscaling_table

OPTIONS = {"truths": 2, "members": 6, "steps": 12}


@pytest.fixture(scope="module")
def result(result_of):
    """The result of the tiny run."""
    return result_of(run, **OPTIONS)


@pytest.mark.slow
def test_all_rows_are_judged(result):
    rows = result["rows"]
    assert set(rows) == set(LABELS)
    keys = {column.key for column in (*COLUMNS, *PHYSICS)}
    assert set(rows["unknown_conditions"]["mean"]) <= keys
    assert "spread_temperature" not in rows["interpolated"]["mean"]
    assert rows["guided_adjusted"]["mean"]["density_error_percent"] == 0
    assert result["cells"] == {"fine": [5, 12, 8], "coarse": [5, 6, 4]}
    # What the means say of the truth is more than that they are near those of a training state.
    nearest = rows["nearest_training_state"]["mean"]
    for name in ("eof_gaussian", "known_conditions"):
        assert rows[name]["mean"]["rmse_temperature"] < nearest["rmse_temperature"]
    assert rows["eof_gaussian"]["mean"]["misfit"] < nearest["misfit"]


@pytest.mark.slow
def test_the_tables_show_each_row(result):
    for group, columns in (("skill", COLUMNS), ("physics", PHYSICS)):
        text = downscaling_table(result, group)
        assert all(label in text for label in LABELS.values())
        assert text.splitlines()[0].count("|") == len(columns) + 2


def test_ratios_are_of_sums():
    truths = [
        {"waves_surface": 1.0, "true_waves_surface": 2.0, "square_spread": 1.0, "square_error": 4},
        {"waves_surface": 3.0, "true_waves_surface": 2.0, "square_spread": 1.0, "square_error": 4},
    ]
    found = summarise(truths)
    assert found["mean"] == {"power_surface": 1.0, "spread_temperature": 0.5}
    assert "power_surface" not in found["deviation"]


def test_the_truth_has_no_error(tiny_grid, tiny_states):
    grid = tiny_grid()
    truth = tiny_states(grid, batch=1, seed=0)
    judge = Judge(grid, equation_of_state("veros-vallis"), truth.temperature[0] * 0)
    found = judge._of_field(
        "temperature", truth.temperature.double(), truth.temperature[0].double()
    )
    assert found["rmse_temperature"] == found["crps_temperature"] == 0
    two = State(torch.cat([truth.temperature] * 2), torch.cat([truth.salinity] * 2))
    assert judge._of_field("temperature", two.temperature.double(), two.temperature[0])[
        "square_spread"
    ] == pytest.approx(0)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="factor is 1: give at least 2"):
        DownscalingSettings(factor=1)
    with pytest.raises(UserError, match="there is no row ours"):
        DownscalingSettings(only=["ours"])
