"""What is said of fine states of a coarse run, from made-up numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data.state import State
from studies.coarse_basin import settings as s
from studies.coarse_basin.columns import PairJudge, own_bias, summarise, targets
from studies.coarse_basin.tables import coarse_basin_table

PAIR = {
    **dict.fromkeys(("correlation", "misfit", "density_error_percent", "mixed_layer_m"), 1.0),
    "cpu_seconds": 2.0,
    "weights": [0.25, 0.75],
    "own_bias": [0.8, -0.4],
    "bias": [0.4, -0.2],
    "waves_surface": 1.0,
    "true_waves_surface": 4.0,
    "waves_thermocline": 3.0,
    "true_waves_thermocline": 3.0,
}


def test_biases_are_of_the_mean_over_the_pairs_and_powers_ratios_of_sums():
    opposite = PAIR | {"bias": [0.0, 0.2], "own_bias": [0.0, 0.0], "waves_surface": 3.0}
    found = summarise([PAIR, opposite])
    assert found["power_surface"] == 0.5
    assert found["bias_K"] == pytest.approx(np.sqrt(0.25 * 0.2**2))
    assert summarise([PAIR])["bias_left_percent"] == pytest.approx(50)
    assert own_bias([PAIR]) == pytest.approx(np.sqrt(0.25 * 0.8**2 + 0.75 * 0.4**2))


def rows(**changes):
    plain = {"correlation": 1.0, "power_surface": 1.0, "power_thermocline": 1.0, "bias_K": 0.1}
    plain |= {"drift_K": 0.1, "shock_percent": 1.0, "blown_up": 0}
    found = {name: dict(plain) for name in s.LABELS}
    found[s.INTERPOLATED] |= {"bias_K": 0.3, "drift_K": 0.15, "shock_percent": None}
    for name, change in changes.items():
        found[name] |= change
    return found


def test_targets_are_reached_missed_or_not_measured():
    found = targets(rows(translated={"correlation": 0.9}, autoencoded_truth={"power_surface": 2}))
    reached = {name: target["reached"] for name, target in found.items()}
    assert reached["downscaled: short waves, surface, / autoencoded"] == "no"  # half of it
    assert reached["downscaled: short waves, thermocline, / autoencoded"] == "yes"
    assert reached["translated: r of large scales"] == "no"
    assert reached["translated: bias of level means [K]"] == "yes"
    assert reached["translated: drift [K]"] == "no"
    assert reached["downscaled: first month [%]"] == "not measured"
    assert found["translated: drift [K]"]["required"] == "at most 0.075"


def test_a_row_that_blew_up_misses_its_targets_of_runs():
    found = targets(rows(downscaled={"drift_K": None, "blown_up": 1}))
    assert found["downscaled: drift [K]"]["reached"] == "no"


def test_the_tables_show_the_rows():
    result = {"labels": s.LABELS, "rows": rows(), "targets": targets(rows())}
    assert s.LABELS[s.DOWNSCALED] in coarse_basin_table(result, "states")
    assert coarse_basin_table(result, "runs").count("\n") == 2 + len(s.LABELS)
    assert "not measured" in coarse_basin_table(result, "targets")


def test_the_truth_has_no_bias_and_a_warm_state_that_of_its_warmth(tiny_grid, tiny_states):
    grid = tiny_grid()
    truth = tiny_states(grid, batch=1, seed=0)
    means = SimpleNamespace(
        translation=SimpleNamespace(run=SimpleNamespace(archive=SimpleNamespace(grid=grid))),
        training=tiny_states(grid, batch=4, seed=1),
        row=lambda states: PAIR,
    )
    judge = PairJudge(means, truth, torch.zeros(len(grid.depth)))
    none = judge.scores(truth)
    assert none["bias"] == [0.0] * len(grid.depth)
    assert none["waves_surface"] == none["true_waves_surface"]
    warm = State(truth.temperature + torch.from_numpy(grid.wet) * 0.5, truth.salinity)
    assert judge.scores(warm)["bias"] == pytest.approx([0.5] * len(grid.depth), abs=1e-5)
