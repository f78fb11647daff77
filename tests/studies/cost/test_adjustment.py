"""The cost of adjusting states: measured for every equation, on states that overturn as asked."""

from __future__ import annotations

import json

import pytest
import torch

from data.equations import EQUATIONS
from guidance.seawater import equation_of_state
from guidance.stratification import density_steps
from halocline import main
from studies.cost.adjustment import overturning_state
from studies.cost.synthetic import synthetic_grid


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("percent", [0, 10, 100])
def test_states_overturn_in_the_share_of_columns_asked_for(name, percent):
    grid = synthetic_grid(36, 30, 40, periodic_x=True)
    state = overturning_state(grid, percent=percent)
    depth = torch.from_numpy(grid.interface_depth)
    steps = density_steps(state, eos=equation_of_state(name), interface_depth=depth)
    assert 100 * (steps < 0).any(1).double().mean() == pytest.approx(percent, abs=2)


@pytest.mark.slow
def test_the_command_prints_and_writes(tmp_path, capsys):
    path = tmp_path / "cost.json"
    words = ["--grid", "3x4x5", "--repeats", "1", "--output", str(path)]
    main(["study", "cost", "adjustment", *words])
    printed = json.loads(capsys.readouterr().out)
    assert printed["grid"] == "3x4x5"
    assert set(printed["adjustment_seconds"]) == set(EQUATIONS)
    for seconds in printed["adjustment_seconds"].values():
        assert set(seconds) == {f"unstable_{p}_percent" for p in (0, 10, 100)}
        assert min(seconds.values()) > 0
    assert json.loads(path.read_text()) == printed
