"""Waves whose band and coherence are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.spectra import (
    COLUMNS,
    band_metrics,
    band_power,
    coherence_of_levels,
    zonal_spectra,
)

COLUMNS_OF_GRID = 24


@pytest.fixture
def grid() -> OceanGrid:
    """Surface, thermocline and abyss of a channel around the globe, with land to the south."""
    wet = np.ones((3, 5, COLUMNS_OF_GRID), bool)
    wet[:, 0] = False
    return OceanGrid(
        depth=np.array([5.0, 380.0, 2000.0]),
        thickness=np.full(wet.shape, 100.0),
        area=np.full(wet.shape[1:], 1e10),
        wet=wet,
        longitude=np.arange(COLUMNS_OF_GRID) * 15.0,
        latitude=np.arange(5.0),
        periodic_x=True,
    )


def state_of(field: torch.Tensor, grid: OceanGrid) -> State:
    field = torch.where(torch.from_numpy(grid.wet), field, 0.0)
    return State(field, torch.zeros_like(field))


def wave(grid: OceanGrid, waves: int, *, phase: float = 0.0, count: int = 1) -> torch.Tensor:
    angle = 2 * torch.pi * waves * torch.arange(COLUMNS_OF_GRID) / COLUMNS_OF_GRID
    return torch.cos(angle + phase).expand(count, *grid.shape)


def noise(grid: OceanGrid, *, seed: int, count: int = 32) -> torch.Tensor:
    return torch.randn(count, *grid.shape, generator=torch.Generator().manual_seed(seed))


def metrics(state: State, reference: State, grid: OceanGrid) -> dict[str, float]:
    climatology = reference.temperature.double().mean(dim=0)
    return band_metrics(state, reference, grid, climatology=climatology)


# Wavenumbers 1 to 12: bands 1-4, 5-8 and 9-12, where 12 is a wave of two cells.
@pytest.mark.parametrize(("waves", "third"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (11, 3)])
def test_a_cosine_falls_into_its_band_with_its_variance(grid, waves, third):
    state = state_of(2 * wave(grid, waves), grid)
    row = band_metrics(state, state, grid, climatology=torch.zeros(grid.shape))
    for place in ("surface", "thermocline"):
        for band in (1, 2, 3):
            expected = 2.0 if band == third else 0.0
            power = row[f"power_{place}_third_{band}_K2"]
            assert power == pytest.approx(expected, abs=1e-6)


def test_the_bands_share_the_variance_of_the_rows(grid):
    field = noise(grid, seed=1).double()
    (spectrum,) = zonal_spectra(field, grid, climatology=torch.zeros(grid.shape), depths=[0.0])
    variance = field[:, 0, 1:].var(dim=-1, correction=0).mean()
    assert sum(band_power(spectrum)) == pytest.approx(float(variance))


def test_windowed_segments_keep_most_of_the_variance_of_noise(grid):
    wet = grid.wet.copy()
    wet[:, :, 0] = False
    closed = replace(grid, wet=wet)
    row = metrics(
        state_of(noise(grid, seed=1), closed), state_of(noise(grid, seed=2), closed), grid
    )
    total = sum(row[f"power_surface_third_{third}_K2"] for third in (1, 2, 3))
    assert total == pytest.approx(1.0, rel=0.1)


def test_doubled_waves_have_four_times_the_power_in_their_band_and_level_only(grid):
    rough = noise(grid, seed=1)
    spectrum = torch.fft.rfft(rough)
    spectrum[:, 1, :, 5:9] *= 2  # the thermocline's second band
    doubled = torch.fft.irfft(spectrum, n=COLUMNS_OF_GRID)
    reference = state_of(rough, grid)
    row = band_metrics(
        state_of(doubled, grid), reference, grid, climatology=torch.zeros(grid.shape)
    )
    ratios = {key: value for key, value in row.items() if key.startswith("power_ratio")}
    assert ratios.pop("power_ratio_thermocline_third_2") == pytest.approx(4.0, rel=1e-5)
    assert list(ratios.values()) == pytest.approx([1.0] * 5, rel=1e-5)


def test_both_sets_are_anomalies_from_the_one_climatology(grid):
    reference = noise(grid, seed=1)
    offset = 3 * wave(grid, 5)
    climatology = reference.double().mean(dim=0)
    row = band_metrics(
        state_of(climatology.expand(4, -1, -1, -1) + offset, grid),
        state_of(reference, grid),
        grid,
        climatology=climatology,
    )
    assert row["power_surface_third_2_K2"] == pytest.approx(4.5)  # of the bias alone
    assert row["power_surface_third_1_K2"] == pytest.approx(0.0, abs=1e-9)


def test_coherence_is_one_for_equal_levels_and_small_for_independent_ones(grid):
    field = noise(grid, seed=1)
    climatology = torch.zeros(grid.shape)
    equal = field.clone()
    equal[:, 1] = -2 * field[:, 0].roll(3, -1)  # also with a lag and another amplitude
    one = coherence_of_levels(equal, grid, climatology=climatology, upper=0, lower=1)
    np.testing.assert_allclose(one, 1.0, rtol=1e-5)
    none = coherence_of_levels(field, grid, climatology=climatology, upper=0, lower=1)
    assert one.shape == none.shape == (COLUMNS_OF_GRID // 2,)
    assert none.mean() == pytest.approx(1 / (4 * 32), rel=0.7)


def test_coherence_of_a_shared_signal_is_its_share_of_the_power(grid):
    """For levels s + a and s + b of equal powers it is (1/2)^2."""
    shared = noise(grid, seed=1, count=200)
    field = noise(grid, seed=2, count=200)
    field[:, 1] += shared[:, 0]
    field[:, 0] += shared[:, 0]
    row = metrics(state_of(field, grid), state_of(noise(grid, seed=3), grid), grid)
    for third in (1, 2, 3):
        assert row[f"coherence_third_{third}"] == pytest.approx(0.25, abs=0.04)
        assert row[f"coherence_difference_third_{third}"] == pytest.approx(0.25, abs=0.05)


def test_a_shuffled_subsurface_has_lost_its_surface(grid):
    field = noise(grid, seed=1)
    field[:, 1] = 0.5 * field[:, 0]
    shuffled = field.clone()
    shuffled[:, 1] = field[:, 1].roll(1, 0)
    row = metrics(state_of(shuffled, grid), state_of(field, grid), grid)
    assert row["power_ratio_thermocline_third_1"] == pytest.approx(1.0)
    for third in (1, 2, 3):
        assert row[f"coherence_difference_third_{third}"] < -0.9


def test_coherence_skips_places_that_are_dry_at_the_lower_level(grid):
    wet = grid.wet.copy()
    wet[1, :, :6] = False
    wet[1, 2] = False
    stepped = replace(grid, wet=wet)
    field = noise(grid, seed=1)
    field[:, 1] = field[:, 0]
    field = torch.where(torch.from_numpy(wet), field, 0.0)
    one = coherence_of_levels(field, stepped, climatology=torch.zeros(grid.shape), upper=0, lower=1)
    assert one.shape == (9,)  # of 18 cells
    np.testing.assert_allclose(one, 1.0, rtol=1e-5)


def test_land_has_no_effect(grid):
    wet = grid.wet.copy()
    wet[:, :, :3] = False
    basin = replace(grid, wet=wet)
    state, reference = (state_of(noise(grid, seed=seed), basin) for seed in (1, 2))
    spoiled = State(
        torch.where(torch.from_numpy(wet), state.temperature, torch.nan), state.salinity
    )
    assert metrics(spoiled, reference, basin) == metrics(state, reference, basin)


def test_keys_are_described_and_nan_where_there_is_nothing_to_compare(grid):
    state = state_of(noise(grid, seed=1), grid)
    assert set(metrics(state, state, grid)) == {column.key for column in COLUMNS}
    still = state_of(noise(grid, seed=2, count=1).expand(7, -1, -1, -1), grid)
    row = metrics(state, still, grid)
    assert np.isnan([row[key] for key in row if "ratio" in key or "difference" in key]).all()
    narrow = replace(grid, wet=grid.wet & (np.arange(COLUMNS_OF_GRID) < 5))
    assert np.isnan(list(metrics(state, state, narrow).values())).all()
