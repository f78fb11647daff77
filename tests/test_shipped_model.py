"""The trained model that comes with the packages draws a state at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from configs import load_experiment
from configs.verification import verify
from data.archive.reader import StateArchive
from data.grid import wet_tensor
from data.shipped import PACKAGES
from guidance.seawater import equation_of_state
from guidance.stratification import density_steps, wet_pairs
from halocline import main
from latent_diffusion.pipeline import StatePipeline
from training.records import RECORD

NAME = Path("data/models/quickstart")
FOLDER = PACKAGES / NAME
MOST_BYTES = 16e6


def test_it_is_whole_and_small_and_learned_the_shipped_states():
    verify(FOLDER)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MOST_BYTES
    archive = StateArchive.open(load_experiment(Path("quickstart")).data.stored)
    assert json.loads((FOLDER / RECORD).read_text())["archive"] == archive.digest


@pytest.mark.slow
def test_it_draws_a_stable_state_without_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    at = ("--at", "warming=2", "--at", "season=0")
    main(["sample", str(NAME), "--sampling.members", "1", *at, "--output", "state.zarr"])
    assert [path.name for path in tmp_path.iterdir()] == ["state.zarr"]
    said = " ".join(capsys.readouterr().out.split())
    assert "Left open: gm_diffusivity, vertical_diffusivity, wind_stress_scale." in said
    assert "To start a model from a state, give --certain" in said
    states = StateArchive.open(tmp_path / "state.zarr")
    state, grid = states.read([0]), states.grid
    depth = torch.from_numpy(grid.interface_depth)
    steps = density_steps(
        state, eos=equation_of_state(states.equation_of_state), interface_depth=depth
    )
    assert steps[:, wet_pairs(wet_tensor(grid))].min() > -1e-3  # kg/m3
    surface = state.temperature[0, 0][wet_tensor(grid)[0]]
    model = StatePipeline.from_pretrained(NAME)  # is found from any folder
    assert model.origin.name == "quickstart"
    parameters = model.expectation.space.units
    assert parameters["gm_diffusivity"] == "m2 s-1" and parameters["warming"] == "K"
    assert states.units.items() >= parameters.items()
    assert -2 < surface.min() < 5 < 20 < surface.max() < 35  # degC, from the south to the equator
