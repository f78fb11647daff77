"""What is said of integrations of the rows, from made-up records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from integration.integrate import IntegrationResult
from studies.started import first_month, keep_states, kept_states, scores_of_runs


def test_the_first_month_counts_from_the_first_record_after_the_start(made):
    truth = made("truth", 1.0)
    assert first_month(truth, truth) == 0
    late = replace(truth, series={"kinetic_energy": np.where(truth.time > 0.1, 9.0, 2.0)})
    assert first_month(late, truth) == 0
    assert first_month(made("interpolated", 1.5), truth) == pytest.approx(50)


def test_runs_are_compared_with_the_truths_run(made):
    runs = [made("truth", 1.0), made("downscaled", 0.8, warming=0.4)]
    runs.append(made("interpolated", 3.0, blow_up_year=0.5))
    years = {run.label: 2.0 for run in runs}
    found = scores_of_runs(IntegrationResult(runs, years))
    assert found["truth"] == {
        "blown_up": 0,
        "drift_K": 0.0,
        "shock_percent": None,
        "distance_K": None,
    }
    assert found["downscaled"]["drift_K"] == pytest.approx(0.4)
    assert found["downscaled"]["shock_percent"] == pytest.approx(20)
    assert 0.2 < found["downscaled"]["distance_K"] < 0.4
    assert found["interpolated"]["blown_up"] == 1
    assert found["interpolated"]["drift_K"] is None


def test_the_first_state_of_each_row_is_kept(tiny_grid, tiny_states, tmp_path):
    states = {name: tiny_states(tiny_grid(), batch=2, seed=seed) for seed, name in enumerate("ab")}
    keep_states(tmp_path / "new" / "7.npz", states)
    again = kept_states(tmp_path / "new" / "7.npz")
    assert [*again] == ["a", "b"]
    for name, state in again.items():
        assert torch.equal(state.temperature, states[name].temperature[:1])
        assert torch.equal(state.salinity, states[name].salinity[:1])
