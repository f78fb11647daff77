"""Costs: counted where they can be, and measured for any grid."""

from __future__ import annotations

import json

import pytest
import torch

from autoencoder.codec import IdentityCodec
from autoencoder.periodic import PeriodicConv2d
from configs.run import Run
from halocline import main
from studies.cost.codec import decode_gradient, grid_cost
from studies.cost.meter import Meter
from studies.cost.synthetic import SyntheticArchive, synthetic_grid


def test_the_gradient_is_that_of_the_sum_of_all_numbers(tiny_experiment):
    experiment = tiny_experiment("--autoencoder.kind", "identity")
    archive = SyntheticArchive(synthetic_grid(5, 12, 8, periodic_x=True), has_sea_level=False)
    codec = Run(experiment).untrained_codec(archive)
    assert isinstance(codec, IdentityCodec)
    gradient = decode_gradient(codec, codec.encode(archive.read([0])))
    expected = codec.statistics.std[:, None, None].expand_as(gradient[0])
    torch.testing.assert_close(gradient[0], expected)


@pytest.mark.parametrize("sea_level", [False, True])
def test_a_codec_of_any_size_is_measured(tiny_experiment, sea_level):
    experiment = tiny_experiment()
    cost = grid_cost(experiment, (4, 10, 14), sea_level=sea_level, meter=Meter(repeats=1))
    for call in ("encode", "decode", "decode_vjp", "latent_guided_step", "data_space_forward"):
        assert cost[f"{call}_seconds"] > 0
        assert cost[f"{call}_gflops"] > 0
    # The gradient with respect to the latents alone costs a decoding once more, and its residual
    # blocks are computed twice.
    assert 2.1 < cost["decode_vjp_gflops"] / cost["decode_gflops"] < 3
    ratio = cost["decode_vjp_seconds"] / cost["data_space_forward_seconds"]
    assert cost["decode_vjp_per_data_space_forward"] == pytest.approx(ratio)
    # 10 x 14 cells are padded to 12 x 16, four to a latent cell.
    assert cost["compression"] == pytest.approx((8 + sea_level) * 140 / (4 * 6 * 8))


def test_the_command_prints_and_writes(tiny_config, tmp_path, capsys):
    path = tmp_path / "cost.json"
    words = [str(tiny_config), "--grid", "3x8x8", "--repeats", "1", "--output", str(path)]
    main(["study", "cost", "codec", *words, "--autoencoder.latent_channels", "2"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["grid"] == "3x8x8"
    assert printed["cost"]["compression"] == 6 * 64 / (2 * 16)
    assert json.loads(path.read_text())["cost"].keys() == printed["cost"].keys()


@pytest.mark.parametrize("periodic_x", [False, True])
def test_the_denoisers_are_those_of_the_grid(tiny_experiment, monkeypatch, periodic_x):
    """Around a periodic ocean every convolution of latent and data-space network is periodic."""
    measured = []

    def note(unet, codec, *, meter):
        measured.append(any(isinstance(part, PeriodicConv2d) for part in unet.modules()))
        return dict.fromkeys(("seconds", "memory_MB", "gflops"), 1.0)

    monkeypatch.setattr("studies.cost.codec.guided_step_cost", note)
    grid_cost(tiny_experiment(), (4, 10, 14), periodic_x=periodic_x, meter=Meter(repeats=1))
    assert measured == [periodic_x, periodic_x]
