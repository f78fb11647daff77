"""The cost of guided chains: what is compared is what the settings say."""

from __future__ import annotations

import json

import pytest

from halocline import main
from studies.cost.guidance import guidance_cost
from studies.cost.meter import Meter
from studies.cost.synthetic import SyntheticArchive, synthetic_grid


def test_chains_are_measured_as_configured(tiny_experiment):
    variants = {
        "all": {"start": 0.0},
        "late": {"start": 1.0},
        "one": {"terms": ["nearest_stable_state"]},
    }
    grid = synthetic_grid(5, 16, 16, periodic_x=True)
    archive = SyntheticArchive(grid, has_sea_level=False, noise=10.0)
    result = guidance_cost(tiny_experiment(), archive, variants=variants, meter=Meter(repeats=1))
    cost = result["chains"]
    assert 0 < result["overturning_columns_percent"] <= 100
    assert list(cost) == ["unguided", *variants, "exact adjustment at the end"]
    assert [cost[name]["guided_steps"] for name in variants] == [4, 1, 2]
    assert cost["all"]["ratio_to_unguided"] > 1


def test_the_command_writes_what_it_prints(tiny_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("studies.cost.guidance.VARIANTS", {})
    output = tmp_path / "cost.json"
    words = ["--grid", "5x16x16", "--repeats", "1", "--output", str(output)]
    main(["study", "cost", "guidance", str(tiny_config), *words])
    written = json.loads(output.read_text())
    assert written == json.loads(capsys.readouterr().out)
    assert written["grid"] == "5x16x16"
    assert "unguided" in written["chains"]


def test_a_method_that_is_none_is_named(tiny_config):
    words = [str(tiny_config), "--grid", "5x16x16", "--only", "better"]
    with pytest.raises(SystemExit, match="no method better; the methods are as configured"):
        main(["study", "cost", "guidance", *words])
