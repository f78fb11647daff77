"""Aims of a run's product, beside floor and baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import UserError
from evaluation.metrics.catalogue import COLUMNS
from studies.goals import GOALS, aims_table
from studies.runs import run_table

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


def rows_of(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in lines}


@pytest.fixture
def result():
    """A run whose product is the median of three seeds."""

    def row(**changed: float) -> dict[str, float]:
        same = {
            "w1_temperature_K": 0.1,
            "mixed_layer_depth_mean_m": 100.0,
            "density_error_percent": 0.2,
            "auc_all_levels_training": 0.5,
            "auc_surface": 0.6,
        }
        return same | changed

    product = row(w1_temperature_K=0.2)
    return {
        "rows": {
            "truth": row(w1_temperature_K=0.0),
            "training": row(),
            "eof_gaussian": row(auc_all_levels_training=0.7, auc_surface=0.9),
            "eof_gaussian_adjusted": row(w1_temperature_K=0.12),
            "guided": row(density_error_percent=0.31),
            "guided_adjusted": product,
        },
        "seeds": {"values": {key: [value, value, 2 * value] for key, value in product.items()}},
    }


def test_a_value_is_held_against_floor_and_baseline(result):
    rows = rows_of(aims_table(result, "aims_basin"))
    # A twentieth above the training states; EOF-Gaussian states are further.
    assert rows["W₁ of T [K]"] == ["0.2", "at most 0.105", "0.1", "0.12", "no"]
    assert rows["mixed layer, mean [m]"][:2] == ["100", "95 to 105"]
    assert rows["mixed layer, mean [m]"][-1] == "yes"
    assert rows["density error [%], guided"][1::3] == ["at most 0.3", "no"]


def test_the_classifier_must_also_tell_states_worse_than_classical_ones(result):
    name = "classifier AUC against training, all levels"
    assert rows_of(aims_table(result, "aims_basin"))[name][-1] == "yes"
    result["rows"]["eof_gaussian"]["auc_all_levels_training"] = 0.55
    assert rows_of(aims_table(result, "aims_basin"))[name][1::3] == ["at most 0.45", "no"]
    assert rows_of(aims_table(result, "aims_eddies"))["classifier AUC, surface"][1] == "at most 0.7"


def test_the_median_over_seeds_counts(result):
    result["seeds"]["values"]["w1_temperature_K"] = [0.09, 0.1, 9.0]
    assert rows_of(aims_table(result, "aims_basin"))["W₁ of T [K]"][::4] == ["0.1", "yes"]
    result["seeds"] = None
    assert rows_of(aims_table(result, "aims_basin"))["W₁ of T [K]"][::4] == ["0.2", "no"]


def test_every_goal_is_a_metric_of_a_recorded_run():
    known = {column.key for column in COLUMNS}
    records = {"aims_basin": "quickstart", "aims_eddies": "eddying_channel"}
    records["aims_world"] = "global4deg_conditions"
    for group, goals in GOALS.items():
        assert {goal.key for goal in goals} <= known
        recorded = json.loads((RESULTS / f"{records[group]}.json").read_text())
        lines = run_table(recorded, group).splitlines()
        assert len(lines) == 2 + len(goals)
        assert {line.split("|")[-2].strip() for line in lines[2:]} <= {"yes", "no"}


def test_other_groups_are_named():
    with pytest.raises(UserError, match="aims_basin"):
        run_table({"rows": {}}, "aims")
