"""Codecs whose errors are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoencoder.codec import IdentityCodec
from autoencoder.ocean import describe_ocean
from data.archive.reader import StateArchive
from data.grid import OceanGrid
from data.normalisation import Statistics
from data.state import State
from evaluation.metrics.row import EvaluationContext
from evaluation.metrics.spectra import ZonalSpectrum, small_scale_ratio, third_ratios
from evaluation.reconstruction import (
    decode_all,
    judge,
    level_errors,
    reconstruction_metrics,
    reconstruction_spectra,
    thermocline_depths,
    total_level_std,
    worst_cells,
)
from guidance.seawater import equation_of_state
from guidance.stratification import adjust

EOS = equation_of_state("veros-vallis")
RATIOS = ("spectrum_ratio", "variance_ratio")


class Changed:
    """The identity, but decoded normalised states `b c y x` go through `change`."""

    def __init__(self, codec, change):
        self.codec, self.change = codec, change
        self.statistics = codec.statistics

    def encode(self, state):
        return self.codec.encode(state)

    def decode(self, latents):
        return self.codec.decode(self.change(latents))


@pytest.fixture(scope="module")
def archive(tmp_path_factory, write_tiny_archive):
    path = tmp_path_factory.mktemp("reconstruction") / "states.zarr"
    return StateArchive.open(write_tiny_archive(path, rows=8, columns=24))


@pytest.fixture(scope="module")
def identity(archive):
    codec = IdentityCodec(ocean=describe_ocean(archive), multiple=1)
    statistics = Statistics.from_archive(archive, indices=archive.indices("train"))
    codec.adopt(archive.grid, statistics)
    return codec


@pytest.fixture(scope="module")
def truth(archive):
    return archive.read(range(8))


@pytest.fixture(scope="module")
def context(archive):
    return EvaluationContext(archive.grid, EOS)


def test_a_perfect_codec_has_no_error(identity, truth, context):
    metrics = reconstruction_metrics(identity, truth, context)
    errors = {name: value for name, value in metrics.items() if name.startswith("rmse_")}
    ratios = {name: value for name, value in metrics.items() if name.startswith(RATIOS)}
    assert errors and max(errors.values()) < 1e-2  # percent: float32 round-off
    assert ratios == pytest.approx(dict.fromkeys(ratios, 1.0), abs=1e-4)
    assert {name.split("_ratio")[0] for name in ratios} == {"spectrum", "variance"}
    assert metrics["volume_mean_temperature_error_K"] < 1e-4
    assert metrics["density_error_percent"] == pytest.approx(metrics["truth_density_error_percent"])
    assert metrics["truth_density_error_percent"] > 0
    assert metrics["adjusted_density_error_strict_percent"] == 0
    assert metrics["mixed_layer_depth_bias_percent"] == pytest.approx(0, abs=1e-3)
    assert metrics["states"] == 8


def test_perturbed_and_interpolated_latents_are_decoded(identity, truth, context):
    given = []

    def note(latents):
        given.append(identity.decode(latents))
        return latents

    decode_all(Changed(identity, note), truth, context)
    _, noisy, between = given
    normalise = identity.statistics.normalise
    wet = identity.statistics.wet
    spread = identity.encode(truth).std(dim=(0, 2, 3), correction=0)[:, None, None]
    moved = ((normalise(noisy) - normalise(truth)) / spread)[:, wet]
    assert float(moved.std()) == pytest.approx(0.1, rel=0.05)
    halfway = 0.5 * (truth.temperature[0] + truth.temperature[4])
    torch.testing.assert_close(between.temperature[0], halfway)


def test_large_states_are_decoded_and_judged_one_by_one(
    identity, truth, context, tmp_path, monkeypatch
):
    expected = reconstruction_metrics(identity, truth, context)
    monkeypatch.setattr("data.batches.MOST_BYTES", 1)
    monkeypatch.setattr("data.archive.mapped.MOST_BYTES", 0)
    sizes = []

    def adjusted(state, **options):
        sizes.append(len(state))
        return adjust(state, **options)

    def note(latents):
        sizes.append(len(latents))
        return latents

    monkeypatch.setattr("evaluation.reconstruction.adjust", adjusted)
    folder = tmp_path / "run"
    decoded = decode_all(Changed(identity, note), truth, context, folder=folder)
    assert sizes == [1] * 4 * len(truth)
    assert folder.is_dir(), "reconstructions are on the disk"
    assert judge(decoded, identity.statistics, context) == pytest.approx(expected, nan_ok=True)


def test_a_known_error_is_that_share_of_the_anomalies(identity, truth, context):
    off = Changed(identity, lambda latents: latents + 0.07)
    decoded = decode_all(off, truth, context)
    profiles = level_errors(decoded, identity.statistics)
    for variable in ("temperature", "salinity"):
        np.testing.assert_allclose(profiles.anomaly[variable], 7, rtol=1e-2)  # float32
    metrics = reconstruction_metrics(off, truth, context)
    assert metrics["rmse_temperature_percent_of_anomaly_std"] == pytest.approx(7, rel=1e-3)
    share = identity.statistics.std.double() / total_level_std(identity.statistics)
    np.testing.assert_allclose(profiles.total["temperature"], 7 * share[:5], rtol=1e-2)
    assert metrics["volume_mean_temperature_error_K"] > 0.0


def test_the_total_std_is_that_of_all_cells_and_states(archive, identity):
    states = archive.read(archive.indices("train"))
    top = states.temperature[:, 0, torch.from_numpy(archive.grid.wet[0])]
    expected = float(top.double().std(correction=0))
    assert float(total_level_std(identity.statistics)[0]) == pytest.approx(expected, rel=1e-4)


def test_a_smoothing_codec_loses_small_scales_and_variance(identity, archive, context):
    generator = torch.Generator().manual_seed(0)
    truth = identity.decode(torch.randn(8, *identity.latent_shape, generator=generator))

    def smooth(latents):
        return 0.5 * latents + 0.25 * (latents.roll(1, -1) + latents.roll(-1, -1))

    metrics = reconstruction_metrics(Changed(identity, smooth), truth, context)
    thirds = [metrics[f"spectrum_ratio_surface_third_{third}"] for third in (1, 2, 3)]
    assert thirds[0] > thirds[1] > thirds[2]
    assert thirds[0] > 0.6
    assert thirds[2] < 0.1
    errors = [metrics[f"error_spectrum_ratio_surface_third_{third}"] for third in (1, 2, 3)]
    assert errors[0] < 0.1 < 0.7 < errors[2] < 1
    assert metrics["variance_ratio_temperature"] < 0.6
    spectra = reconstruction_spectra(
        decode_all(Changed(identity, smooth), truth, context), archive.grid
    )
    (surface,) = spectra["surface"]
    assert len(surface["power_truth_K2"]) == len(surface["wavenumber_cycles_per_cell"])


def test_noise_in_place_of_small_scales_shows_in_the_error(identity, truth, context):
    other = Changed(identity, lambda latents: latents.roll(1, 0))
    metrics = reconstruction_metrics(other, truth, context)
    assert metrics["spectrum_ratio_surface_third_1"] == pytest.approx(1, abs=1e-4)
    assert metrics["error_spectrum_ratio_surface_third_1"] > 1


def test_the_worst_cell_is_found(identity, archive, truth, context):
    grid = archive.grid

    def spoil(latents):
        spoiled = latents.clone()
        spoiled[:, 5 + 2, 5, 7] += 3.0  # salinity of level 2
        spoiled[:, 0, 0, 0] += 100.0  # land
        return spoiled

    decoded = decode_all(Changed(identity, spoil), truth, context)
    worst, second = worst_cells(decoded, identity.statistics, grid, count=2)
    assert (worst["variable"], worst["level"], worst["row"], worst["column"]) == (
        ("salinity", 2, 5, 7)
    )
    assert worst["depth_m"] == grid.depth[2]
    assert worst["longitude"] == grid.longitude[7]
    assert worst["latitude"] == grid.latitude[5]
    share = identity.statistics.std[7] / total_level_std(identity.statistics)[7]
    assert worst["rmse_percent_of_total_std"] == pytest.approx(300 * float(share), rel=1e-3)
    assert second["rmse_percent_of_total_std"] < 1


def test_stratifying_mixed_layers_shows(identity, archive, context):
    """Less density error, but a shallower mixed layer and fewer near-neutral pairs."""
    wet = torch.from_numpy(archive.grid.wet)
    profile = torch.tensor([15.0, 15.0, 10.0, 6.0, 3.0])[:, None, None]
    field = (profile * wet).repeat(2, 1, 1, 1)
    truth = State(field, 35.0 * wet.repeat(2, 1, 1, 1))
    warming = 0.5 * torch.tensor([1.0, 0, 0, 0, 0])[:, None, None] * wet
    stratify = Changed(identity, lambda latents: latents)
    stratify.decode = lambda latents: State(
        identity.decode(latents).temperature + warming, identity.decode(latents).salinity
    )
    metrics = reconstruction_metrics(stratify, truth, context)
    assert metrics["near_neutral_ratio"] == 0
    assert metrics["mixed_layer_depth_bias_percent"] < -30


def _spectrum(power):
    wavenumber = np.arange(1, len(power) + 1) / (2 * len(power))
    return ZonalSpectrum(0.0, wavenumber, np.asarray(power, float))


def test_thirds_of_a_spectrum_are_apart():
    truth = _spectrum([4, 4, 2, 2, 1, 1])
    ours = _spectrum([4, 4, 1, 1, 0.5, 0])
    assert third_ratios([ours], [truth]) == (1.0, 0.5, 0.25)
    assert small_scale_ratio([ours], [truth]) == 0.25
    assert np.isnan(third_ratios([], [])).tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [([10, 310, 390, 480, 600], [310, 390, 480]), ([10, 250, 600], [250]), ([5, 300], [300])],
)
def test_the_thermocline_is_where_there_are_levels(depth, expected):
    grid = OceanGrid(
        depth=np.array(depth, float),
        thickness=np.ones((len(depth), 1, 1)),
        area=np.ones((1, 1)),
        wet=np.ones((len(depth), 1, 1), bool),
        longitude=np.zeros(1),
        latitude=np.zeros(1),
    )
    assert thermocline_depths(grid) == expected
