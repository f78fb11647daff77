"""Metrics on water columns whose answer is known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.grid import OceanGrid
from data.state import State
from evaluation.metrics import distances
from evaluation.metrics.catalogue import COLUMNS
from evaluation.metrics.distances import mean_profile_error, w1, w1_levels, w1_weighted
from evaluation.metrics.labels import Labels
from evaluation.metrics.row import EvaluationContext, TrainingStates, evaluate_row
from evaluation.metrics.spectra import longest_stretch, small_scale_ratio, zonal_spectra
from evaluation.metrics.stability import (
    density_error_percent,
    density_error_surface_teos10_percent,
    mixed_layer_depth,
    near_neutral_pairs_percent,
)
from evaluation.metrics.variance import variance_ratio
from evaluation.metrics.weights import weighted_quantile
from guidance.seawater import equation_of_state

EOS = equation_of_state("veros-vallis")


def make_grid(levels: int = 3, rows: int = 3, columns: int = 12, *, land: bool = True) -> OceanGrid:
    thickness = 50.0 * np.arange(1, levels + 1)
    edges = np.concatenate([[0.0], np.cumsum(thickness)])
    wet = np.ones((levels, rows, columns), bool)
    if land:
        wet[:, :, 0] = False
        wet[-1, 0, :] = False
    return OceanGrid(
        depth=0.5 * (edges[1:] + edges[:-1]),
        thickness=np.broadcast_to(thickness[:, None, None], wet.shape).copy(),
        area=np.full((rows, columns), 1e10),
        wet=wet,
        longitude=np.arange(columns, dtype=float),
        latitude=np.arange(rows, dtype=float),
    )


def profile_state(grid: OceanGrid, temperature: list[float], *, count: int = 1) -> State:
    profile = torch.tensor(temperature)[None, :, None, None]
    wet = torch.from_numpy(grid.wet)
    field = (profile * wet).repeat(count, 1, 1, 1)
    return State(field, 35.0 * wet.repeat(count, 1, 1, 1))


def noisy_state(grid: OceanGrid, count: int, *, seed: int, scale: float = 1.0) -> State:
    generator = torch.Generator().manual_seed(seed)
    base = profile_state(grid, [20.0, 12.0, 5.0][: grid.shape[0]], count=count)
    wet = torch.from_numpy(grid.wet)
    return base.map(
        lambda field: field + scale * wet * torch.randn(field.shape, generator=generator)
    )


def test_density_error_is_the_volume_share_of_the_inverted_cells():
    grid = make_grid(land=False)
    state = profile_state(grid, [20.0, 12.0, 5.0])
    state.temperature[0, 1, 1, 3] = 2.0  # colder than the water below and above it
    share = 100 * grid.volume[1, 1, 3] / grid.volume.sum()
    assert float(density_error_percent(state, grid, EOS)) == pytest.approx(share)
    assert float(density_error_surface_teos10_percent(state, grid)) == pytest.approx(share)


def test_density_error_does_not_see_land():
    grid = make_grid()
    state = profile_state(grid, [20.0, 12.0, 5.0])  # land holds 0 degC, S 0: light
    assert float(density_error_percent(state, grid, EOS, threshold=0.0)) == 0.0


def test_threshold_ignores_noise_that_the_strict_error_counts():
    grid = make_grid(land=False)
    state = profile_state(grid, [10.0, 10.001, 10.0011])
    assert float(density_error_percent(state, grid, EOS)) == 0.0
    strict = float(density_error_percent(state, grid, EOS, threshold=0.0))
    assert strict == pytest.approx(100 * grid.volume[:2].sum() / grid.volume.sum())
    assert float(near_neutral_pairs_percent(state, grid, EOS)) == pytest.approx(100.0)


def test_mixed_layer_depth_interpolates_between_levels():
    grid = make_grid()
    linear = equation_of_state("linear")
    cooling = 0.06 / float(
        linear.density(torch.tensor(9.0), torch.tensor(35.0), 0.0)
        - linear.density(torch.tensor(10.0), torch.tensor(35.0), 0.0)
    )
    state = profile_state(grid, [10.0, 10.0, 10.0 - cooling])  # +0.06 kg/m3: crossed half-way
    depth = mixed_layer_depth(state, grid, linear)[0]
    assert torch.isnan(depth[:, 0]).all()
    assert float(depth[1, 1]) == pytest.approx(0.5 * (grid.depth[1] + grid.depth[2]), rel=1e-4)
    assert float(depth[0, 1]) == pytest.approx(150.0)  # shallow column, never crossed: sea floor


def test_w1_of_shifted_fields_is_the_shift():
    grid = make_grid()
    state = noisy_state(grid, 6, seed=1)
    shifted = state.temperature + 0.25 * torch.from_numpy(grid.wet)
    assert mean_profile_error(shifted, state.temperature, grid) == pytest.approx(0.25, abs=1e-5)
    assert w1(shifted, state.temperature, grid) == pytest.approx(0.25, abs=1e-5)
    shifted[:, 1:] = state.temperature[:, 1:]
    expected = torch.zeros(len(grid.depth), dtype=torch.float64)
    expected[0] = 0.25
    torch.testing.assert_close(
        w1_levels(shifted, state.temperature, grid), expected, atol=1e-5, rtol=0
    )


def test_w1_counts_area_and_not_cells():
    grid = make_grid(land=False)
    area = np.ones_like(grid.area)
    area[:, 0] = 7.0
    grid = replace(grid, area=area)
    state = profile_state(grid, [20.0, 12.0, 5.0])
    warmer = state.temperature.clone()
    warmer[..., 0] += 1.0
    share = 7.0 / (7.0 + area.shape[1] - 1)
    assert w1(warmer, state.temperature, grid) == pytest.approx(share, rel=1e-6)


def test_w1_of_many_values_is_that_of_a_part(monkeypatch):
    torch.manual_seed(0)
    a, b, weights = torch.rand(20, 300), 0.2 + torch.rand(30, 300), torch.rand(300)
    whole = w1_weighted(a, b, weights)
    monkeypatch.setattr(distances, "MOST_VALUES", 1000)
    assert w1_weighted(a, b, weights) == pytest.approx(whole, rel=0.1)
    assert w1_weighted(a, b, weights) != whole


def test_mean_profile_error_weighs_levels_by_thickness():
    grid = make_grid(land=False)
    truth = profile_state(grid, [20.0, 12.0, 5.0]).temperature
    other = profile_state(grid, [23.0, 12.0, 5.0]).temperature
    assert mean_profile_error(other, truth, grid) == pytest.approx(3.0 * np.sqrt(50 / 300))


def test_variance_ratio_of_halved_anomalies_is_a_quarter():
    grid = make_grid()
    truth = noisy_state(grid, 20, seed=2).temperature[:, 0]
    mean = truth.mean(dim=0)
    area = torch.from_numpy(grid.area * grid.wet[0])
    assert variance_ratio(mean + 0.5 * (truth - mean), truth, area) == pytest.approx(0.25, rel=1e-4)
    assert np.isnan(variance_ratio(truth[:1], truth, area))


@pytest.mark.parametrize("periodic", [True, False])
def test_smoothing_lowers_the_small_scale_ratio(periodic):
    flat = make_grid(land=not periodic)
    grid = OceanGrid(**{**vars(flat), "periodic_x": periodic})
    field = noisy_state(grid, 16, seed=4).temperature
    smooth = field.clone()
    smooth[..., 2:-1] = (field[..., 1:-2] + 2 * field[..., 2:-1] + field[..., 3:]) / 4
    climatology = field.double().mean(dim=0)
    spectra = [zonal_spectra(x, grid, climatology=climatology) for x in (smooth, field, 2 * field)]
    assert small_scale_ratio(spectra[0], spectra[1]) < 0.5
    assert small_scale_ratio(spectra[1], spectra[1]) == 1.0


def test_spectrum_of_a_wave_peaks_at_its_wavelength():
    grid = OceanGrid(**{**vars(make_grid(columns=16, land=False)), "periodic_x": True})
    wave = torch.cos(2 * torch.pi * torch.arange(16) / 4).expand(1, *grid.shape)
    spectrum = zonal_spectra(wave, grid, climatology=torch.zeros(grid.shape))[0]
    assert spectrum.wavenumber[spectrum.power.argmax()] == pytest.approx(0.25)
    assert 2 * spectrum.power.sum() == pytest.approx(0.5, rel=1e-5)  # the variance of a cosine


def test_stretches_wrap_only_on_periodic_grids():
    wet = np.array([1, 1, 0, 1, 1, 1], bool)
    assert longest_stretch(wet, periodic=True) == (3, 5)
    assert longest_stretch(wet, periodic=False) == (3, 3)
    assert longest_stretch(~wet & wet, periodic=True) == (0, 0)


def test_weighted_quantile_ignores_land():
    values = torch.tensor([1.0, 2.0, 3.0, torch.nan])
    assert weighted_quantile(values, torch.tensor([1.0, 1.0, 8.0, 5.0]), 0.5) == 3.0


def test_the_truth_judged_against_itself_is_perfect():
    grid = make_grid()
    truth, training = noisy_state(grid, 8, seed=5), noisy_state(grid, 8, seed=6)
    labels = Labels(np.repeat([0, 1], 4), np.tile(np.arange(4.0), 2), np.zeros(8))
    context = EvaluationContext(grid, EOS, TrainingStates(training, labels, grid))
    row = evaluate_row(truth, truth, context)
    described = {column.key for column in COLUMNS if not column.key.startswith("auc")}
    assert set(row) == described
    assert row["states"] == 8
    against_truth = {key for key in row if "ratio" in key and "season" not in key}
    perfect = {key for key in against_truth if not key.endswith("_training")}
    assert all(row[key] == pytest.approx(1.0) for key in perfect if not np.isnan(row[key]))
    assert row["w1_temperature_K"] == row["w1_salinity"] == row["mixed_layer_depth_bias_m"] == 0.0


def test_without_training_states_a_row_has_no_metrics_of_them():
    grid = make_grid()
    truth = noisy_state(grid, 4, seed=5)
    row = evaluate_row(truth, truth, EvaluationContext(grid, EOS))
    assert "novelty" not in row and "variance_ratio_surface_temperature_training" not in row


def test_rates_of_the_published_global_ensemble_are_found_again(shared_data):
    """The data's own notes: 0.015-0.044 % of the pairs inverted, 0.004-0.009 % above 1e-3."""
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(
        shared_data / "mitgcm_global4deg" / "mitgcm_global4deg_k1000.nc"
    ) as ds:
        wet = ds.mask.values.astype(bool)
        grid = OceanGrid(
            depth=ds.depth.values.astype(float),
            thickness=(ds.drf.values[:, None, None] * ds.hfac.values).astype(float),
            area=ds.area.values.astype(float),
            wet=wet,
            longitude=ds.lon.values.astype(float),
            latitude=ds.lat.values.astype(float),
            periodic_x=True,
        )
        fields = ds[["thetao", "so"]].isel(time=slice(170, 457, 40)).fillna(0.0)
        state = State(*(torch.from_numpy(fields[name].values) for name in ("thetao", "so")))
    # By volume of the upper cell the share is lower than by pairs: inversions are shallow.
    eos = equation_of_state("jmd95")
    strict = float(density_error_percent(state, grid, eos, threshold=0.0).mean())
    above = float(density_error_percent(state, grid, eos).mean())
    assert 0.0005 < above < 0.009 < 0.044 > strict > above
    assert 20 < float(mixed_layer_depth(state, grid, eos).nanmean()) < 150
