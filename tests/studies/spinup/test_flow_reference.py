"""Strength of the flow under each reference."""

from __future__ import annotations

import json

import pytest
import torch

from configs.run import Run
from data.errors import UserError
from guidance.balance import Velocities
from guidance.seawater import equation_of_state
from halocline import main
from studies.spinup.flow_reference import flow_references, of_run, strength


def test_uniform_flows(tiny_grid):
    grid = tiny_grid()
    u = torch.full((2, *grid.shape), 0.03, dtype=torch.float64)
    flow = Velocities(u, 4 / 3 * u)
    found = strength(flow, Velocities(2 * u, 8 / 3 * u), grid)
    assert {round(value, 9) for key, value in found.items() if "cm_s" in key} == {5.0}
    assert found["mean_flow_error_percent"] == pytest.approx(50)


def test_the_right_flow_is_that_of_the_truth_under_its_sea_level(tiny_grid, tiny_states):
    grid, eos = tiny_grid(), equation_of_state("veros-vallis")
    truth, other = (tiny_states(grid, batch=3, seed=seed, sea_level=True) for seed in (0, 1))
    rows = flow_references(truth, other, grid=grid, eos=eos)
    assert len(rows) == 8
    assert rows["truth, sea_level"]["mean_flow_error_percent"] == 0
    assert rows["generated, sea_level"]["mean_flow_error_percent"] > 0
    deep = "rms_3000_m_cm_s"
    assert rows["truth, floor"][deep] < rows["truth, 1000 m"][deep]
    again = flow_references(truth, truth, grid=grid, eos=eos)
    assert again["generated, floor"] == rows["truth, floor"]


def test_the_command(write_tiny_archive, tiny_run, tmp_path, monkeypatch, capsys):
    archive = write_tiny_archive(tmp_path / "sea.zarr", sea_level=True)
    run = tiny_run("--data.archive", str(archive))
    monkeypatch.setattr(Run, "samples", lambda run, row: archive)
    monkeypatch.setattr("studies.command_line.load_run", lambda config, overrides: run)
    path = tmp_path / "found.json"
    words = ["some.yaml", "--states", "2", "--output", str(path)]
    main(["study", "spinup", "flow_reference", *words])
    assert json.loads(path.read_text()) == json.loads(capsys.readouterr().out)
    assert "generated, floor" in json.loads(path.read_text())["flow_references"]
    with pytest.raises(UserError, match="give --states between 1 and"):
        of_run(run, states=50)
    with pytest.raises(UserError, match="has no sea level"):
        of_run(tiny_run(), states=1)
