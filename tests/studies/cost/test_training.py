"""What training costs."""

from __future__ import annotations

import json

import pytest

from halocline import main

STUDY = ["study", "cost", "training"]

pytestmark = pytest.mark.slow


def test_both_stages_are_measured_and_results_gather_in_one_file(tiny_config, tmp_path, capsys):
    path = tmp_path / "cost.json"
    for grid in ("3x16x16", "3x16x24"):
        words = [str(tiny_config), "--grid", grid, "--steps", "2", "--output", str(path)]
        main([*STUDY, *words])
    held = json.loads(path.read_text())["trainings"]
    assert [result["grid"] for result in held.values()] == ["3x16x16", "3x16x24"]
    small, large = (result["autoencoder"] for result in held.values())
    assert large["gflop_per_sample"] == pytest.approx(1.5 * small["gflop_per_sample"], rel=0.05)
    for result in held.values():
        for stage in ("autoencoder", "diffusion"):
            assert result[stage]["samples_per_second"] > 0
            assert 0 < result[stage]["share_of_matmul_peak"] < 1.5
    assert json.loads(capsys.readouterr().out.partition("}\n{")[0] + "}")["grid"] == "3x16x16"


def test_the_identity_has_no_stage_of_its_own(tiny_config, capsys):
    words = ["--grid", "3x16x16", "--steps", "1", "--autoencoder.kind", "identity"]
    main([*STUDY, str(tiny_config), *words])
    printed = json.loads(capsys.readouterr().out)
    assert "autoencoder" not in printed
    assert printed["diffusion"]["samples_per_second"] > 0
