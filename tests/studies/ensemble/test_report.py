"""The report of an ensemble, of which some members are finished."""

from __future__ import annotations

import json

import pytest

from data.errors import UserError
from halocline import main
from studies.ensemble.tables import OTHERS, ROWS, ensemble_table

COMMAND = ["study", "ensemble", "some.yaml"]

FIGURES = ("design", "approach", "trends", "oscillation")


@pytest.fixture
def command(settings, tiny_grid, tiny_run, tmp_path, monkeypatch):
    """Runs the command on the tiny ensemble; returns its result."""
    found = tiny_run().settings
    data = found.data.model_copy(
        update={"ensemble": settings, "archive": tmp_path / "ensemble.zarr.zip"}
    )
    experiment = found.model_copy(update={"data": data})
    monkeypatch.setattr("configs.load_experiment", lambda *_: experiment)
    monkeypatch.setattr("studies.ensemble.members.basin_grid", lambda _: tiny_grid())
    monkeypatch.setattr("studies.ensemble.members.require_veros", lambda: None)

    def run() -> dict:
        output = tmp_path / "out.json"
        main([*COMMAND, "--output", str(output), "--figures", str(tmp_path / "figures")])
        return json.loads(output.read_text())

    return run


@pytest.mark.slow
def test_unfinished_members_are_left_out_and_named(command, finish, tmp_path, capsys):
    finish("m00", gap=4.0)
    finish("m01", offset=1.0)
    result = command()
    left_out = "m02, windy, m01_replicate, m00_continued"
    assert f"left out, because they are not finished: {left_out}" in capsys.readouterr().out
    assert list(result["members"]) == ["m00", "m01"]
    assert "left out: m02, windy, m01_replicate." in ensemble_table(result, None)
    assert "left out: m00_continued." in ensemble_table(result, "worth_temperature")
    assert "| m00 | train | reference |" in ensemble_table(result, "members")
    assert result["sizes"]["all"]["members"] == 2
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"ensemble_{name}.png" for name in FIGURES}


@pytest.mark.slow
def test_all_tables_of_a_whole_ensemble(command, finish, settings, tmp_path, capsys):
    (tmp_path / "ensemble.zarr.zip").write_bytes(bytes(3_000_000))
    for member in settings.planned:
        finish(member.name, gap=4.0)
    result = command()
    assert "left out" not in capsys.readouterr().out
    assert [row["part"] for row in result["members"].values()] == [
        "train", "test", "train", "outside", "replicate"
    ]  # fmt: skip
    tables = {group: ensemble_table(result, group) for group in [*ROWS, *OTHERS]}
    assert not any("left out" in table for table in tables.values())
    times = result["approach"]["T, 0–300 m"]
    assert times["e_folding_years"] == pytest.approx(10.0, rel=0.02)
    assert times["continued_years"] == pytest.approx(10.0, rel=0.02)
    trends = result["trends"]["m00"]  # equal at all levels
    largest = trends["largest_temperature_K_per_century"]
    assert largest == pytest.approx(-trends["rms_temperature_K_per_century"], rel=1e-3)
    sizes = result["sizes"]
    assert sizes["all"]["archive_MB"] == 3
    assert sizes["train"]["states"] == 2 * (2 + 4) and sizes["train"]["records"] == 2 * 10
    assert sizes["all"]["states"] == sizes["all"]["planned_states"] == 5 * 6
    assert "| all | 5 | 5 | 50 | 30 | 30 |" in tables["sizes"]


def test_an_unresolved_time_is_said_to_be_so():
    row = {"e_folding_years": 1000.0, "resampled_years": [80.0, 1000.0], "singly_years": [1e3, 1e3]}
    shown = ensemble_table({"approach": {"T": row}}, "approach")
    assert "| T | over 1000 | 80 to over 1000 | over 1000 |" in shown


def test_nothing_finished_is_refused_in_one_sentence(command, capsys):
    with pytest.raises(SystemExit, match="no member of the ensemble is finished in"):
        command()


def test_an_experiment_without_ensemble_is_refused(tiny_run):
    from studies.ensemble.report import run

    with pytest.raises(UserError, match=r"has no section data\.ensemble"):
        run(tiny_run().settings)
