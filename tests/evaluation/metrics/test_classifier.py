"""The classifier tells sets of states apart by what distinguishes them, and by nothing else."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.archive.reader import StateArchive
from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.metrics.classifier import (
    COLUMNS,
    roc_area,
    two_sample_auc,
    two_sample_metrics,
    wettest_window,
)

ENSEMBLE = Path(__file__).resolve().parents[3] / "data" / "archives" / "ensemble.zarr.zip"
CHANNELS, ROWS, COLUMNS_X = 4, 20, 12
WET = torch.ones(CHANNELS, ROWS, COLUMNS_X, dtype=torch.bool)
WET[:, 0] = False
WET[2:, 5:8, 4:7] = False


def noise(count: int, *, seed: int) -> Tensor:
    """White noise on a mean state that differs between cells, 0 on land."""
    random = torch.Generator().manual_seed(seed)
    mean = torch.linspace(0, 30, ROWS)[:, None]
    return WET * (mean + torch.randn(count, *WET.shape, generator=random))


def smoothed(states: Tensor) -> Tensor:
    """Noise of the same variance, but similar in neighbouring columns."""
    mean = torch.linspace(0, 30, ROWS)[:, None]
    anomalies = states - mean
    return WET * (mean + (anomalies + anomalies.roll(1, dims=-1)) / np.sqrt(2))


def test_sets_of_the_same_distribution_are_not_told_apart():
    areas = [
        two_sample_auc(noise(64, seed=seed), noise(100, seed=seed + 50), wet=WET)
        for seed in range(4)
    ]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


def test_large_grids_are_seen_through_the_window_with_most_ocean():
    wet = torch.zeros(30, 40, dtype=torch.bool)
    wet[18:26, 5:13] = True
    assert wettest_window(wet, size=8) == (slice(18, 26), slice(5, 13))
    assert wettest_window(wet, size=100) == (slice(0, 30), slice(0, 40))


def test_a_set_is_not_told_apart_from_itself():
    states = noise(20, seed=1)
    assert two_sample_auc(states, states, wet=WET) == 0.5


@pytest.mark.parametrize("change", [lambda states: states + 0.5 * WET, smoothed])
def test_shifted_and_smoothed_sets_are_told_apart(change):
    assert two_sample_auc(change(noise(40, seed=1)), noise(40, seed=2), wet=WET) > 0.9


def test_samples_of_a_run_that_drifts_are_not_told_apart_from_it():
    """With contiguous halves, what is learned from the first half is wrong in the second."""
    drift = torch.linspace(-2, 2, 160)[:, None, None, None]
    run = noise(160, seed=1) + WET * drift
    others = torch.randperm(160, generator=torch.Generator().manual_seed(3))
    samples = (noise(160, seed=2) + WET * drift)[others[:64]]
    assert two_sample_auc(samples, run, wet=WET) == pytest.approx(0.5, abs=0.15)


def test_land_has_no_effect():
    one, other = noise(16, seed=1), noise(16, seed=2)
    expected = two_sample_auc(one, other, wet=WET)
    assert two_sample_auc(torch.where(WET, one, 9.0), other, wet=WET) == expected
    assert two_sample_auc(torch.where(WET, one, torch.nan), other, wet=WET) == expected


def test_the_result_is_reproducible_and_leaves_random_numbers_alone():
    one, other = noise(16, seed=1), noise(30, seed=2)
    before = torch.random.get_rng_state()
    first = two_sample_auc(one, other, wet=WET)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(7)
    with torch.no_grad():
        assert two_sample_auc(one, other, wet=WET) == first


def test_too_few_states_and_missing_values_give_nan():
    one, other = noise(8, seed=1), noise(8, seed=2)
    assert not isnan(two_sample_auc(one, other, wet=WET))
    assert isnan(two_sample_auc(one[:7], other, wet=WET))
    assert isnan(two_sample_auc(one, other[:7], wet=WET))
    one[3, 0, 5, 5] = torch.nan
    assert isnan(two_sample_auc(one, other, wet=WET))


def test_the_area_counts_pairs_in_order_and_ties_half():
    assert roc_area(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0])) == pytest.approx(2.5 / 4)


def grid_of(wet: Tensor) -> OceanGrid:
    levels = len(wet)
    return OceanGrid(
        depth=50.0 + 100 * np.arange(levels),
        thickness=np.full(wet.shape, 100.0),
        area=np.full((ROWS, COLUMNS_X), 1e10),
        wet=wet.numpy(),
        longitude=np.arange(COLUMNS_X, dtype=float),
        latitude=np.arange(ROWS, dtype=float),
    )


def test_a_difference_at_depth_is_found_at_all_levels_but_not_at_the_surface():
    state, reference = (State(noise(40, seed=s), noise(40, seed=s + 9)) for s in (1, 2))
    state.salinity[:, 2:] += WET[2:]
    metrics = two_sample_metrics(state, reference, grid_of(WET))
    assert metrics["auc_surface"] == pytest.approx(0.5, abs=0.2)
    assert metrics["auc_all_levels"] > 0.9
    named = {*metrics, *two_sample_metrics(state, reference, grid_of(WET), suffix="_training")}
    assert named == {column.key for column in COLUMNS}


def gaussian_surrogate(states: Tensor, count: int, *, wet: Tensor) -> Tensor:
    """States with the mean and the covariance of `states`, with Gaussian EOF coefficients."""
    cells = states[:, wet].double()
    mean = cells.mean(dim=0)
    random = torch.Generator().manual_seed(4)
    weights = torch.randn(count, len(states), generator=random, dtype=torch.float64)
    surrogate = torch.zeros(count, *wet.shape)
    surrogate[:, wet] = (mean + weights @ (cells - mean) / np.sqrt(len(states) - 1)).float()
    return surrogate


@pytest.mark.slow
def test_a_gaussian_surrogate_of_the_basin_is_told_apart_and_other_states_are_not():
    """The surrogate has the right mean and covariance: only higher moments give it away."""
    archive = StateArchive.open(ENSEMBLE)
    training = archive.read(archive.indices("train"))
    states = torch.cat([training.temperature, training.salinity], dim=1)
    wet = torch.cat([wet_tensor(archive.grid)] * 2)
    surrogate = gaussian_surrogate(states, 64, wet=wet)
    assert two_sample_auc(surrogate, states, wet=wet) > 0.65
    assert two_sample_auc(states[::2], states[1::2], wet=wet) == pytest.approx(0.5, abs=0.1)
