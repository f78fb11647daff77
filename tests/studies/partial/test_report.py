"""The study of an ensemble whose members approach equilibria that the parameters set."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data.errors import UserError
from halocline import main
from studies.partial.rows import AVERAGED, COMPONENTS, OURS, PARAMETERS_ALONE, REGRESSION, STAYING
from studies.partial.tables import GROUPS, partial_table

TAU = 20.0  # years


@pytest.fixture
def finished(settings, finish):
    """All members: the warmer the target, the warmer their equilibrium, in `TAU` years."""
    warmth = {one.name: one.parameters.warming for one in settings.recorded}
    for member in settings.recorded:
        start = warmth.get(member.parent, 1.0)
        offset = warmth[member.name]
        finish(member.name, offset=offset, gap=start - offset, tau=TAU)


@pytest.fixture
def command(settings, tiny_grid, tiny_run, tmp_path, monkeypatch):
    """Runs the command on the tiny ensemble; returns its result."""
    found = tiny_run().settings
    data = found.data.model_copy(update={"ensemble": settings})
    experiment = found.model_copy(update={"data": data})
    monkeypatch.setattr("configs.load_experiment", lambda *_: experiment)
    monkeypatch.setattr("studies.ensemble.members.basin_grid", lambda _: tiny_grid())
    monkeypatch.setattr("studies.ensemble.members.require_veros", lambda: None)

    def run() -> dict:
        output, figures = tmp_path / "out.json", tmp_path / "figures"
        paths = ["--output", str(output), "--figures", str(figures)]
        main(["study", "partial", "some.yaml", *paths])
        return json.loads(output.read_text())

    return run


@pytest.mark.slow
def test_equilibria_are_predicted_and_reported(command, finished, tmp_path):
    result = command()
    assert result["parts"]["test"] == ["m01"] and result["parts"]["outside"] == ["windy"]
    assert result["years"] == [2, 5, 10]
    errors = result["errors"]["10"]
    error = {row: parts["test"]["temperature_K"]["all depths"][0] for row, parts in errors.items()}
    assert error[COMPONENTS] < 0.1 * error[STAYING]
    assert error[REGRESSION] < 0.5 * error[PARAMETERS_ALONE]
    assert error[OURS] < 0.5 * error[PARAMETERS_ALONE]
    assert errors[STAYING]["test"]["years_on"] == pytest.approx([0], abs=0.5)
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"partial_{name}.png" for name in ("years", "profiles", "maps")}

    tables = {name: partial_table(result, f"{name}_10") for name in GROUPS}
    assert "Members: 7 train, 1 test, 1 outside.\n" in tables["test"]
    assert all(
        f"| {OURS} |" in tables[name]
        for name in ("test", "outside", "train", "temperature", "salinity")
    )
    assert "| m01 | test |" in tables["members"]
    assert sum(result["weights"]["10"].values()) == pytest.approx(1, abs=0.01)
    assert all(row in partial_table(result, "weights") for row in AVERAGED)
    assert partial_table(result, None).count("(chosen)") == 3


def test_an_unknown_group_is_refused():
    with pytest.raises(UserError, match="its groups are forms, weights, and test"):
        partial_table({"errors": {"2": {}, "5": {}}}, "test_3")


def test_years_are_a_bound_where_a_member_never_comes_as_near():
    members = {
        "temperature_K": {"all depths": [0.1, 0.3, 0.2]},
        "years_on": [50.0, 12.0, 40.0],
        "reached": [False, True, True],
        "standardised": [0.5, 1.0, 1.2],
    }
    rows = {name: {"test": members} for name in (PARAMETERS_ALONE, OURS)}
    result = {"errors": {"2": rows}, "parts": {"test": ["a", "b", "c"]}, "missing": ["d"]}
    assert f"| {OURS} | 0.2 | 0.3 | 1 | 40 | 0.9 |" in partial_table(result, "test_2")
    members["reached"] = [False, True, False]
    assert f"| {OURS} | 0.2 | 0.3 | 1 | over 40 | 0.9 |" in partial_table(result, "test_2")
    assert "Not finished: d." in partial_table(result, "test_2")


def test_medians_are_over_members():
    values = np.array([0.1, 0.3, 0.2]).tolist()
    parts = {"test": {"temperature_K": {"0–300 m": values}}}
    table = partial_table({"errors": {"2": {OURS: parts}}}, "temperature_2")
    assert "| 0.2 (0.3) |" in table
