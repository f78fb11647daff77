"""Costs: counted where they can be, and measured for any grid."""

from __future__ import annotations

import json

import pytest
import torch

from autoencoder.codec import IdentityCodec
from autoencoder.train import build_codec
from data.errors import UserError
from studies.cost.codec import (
    Meter,
    SyntheticArchive,
    decode_gradient,
    grid_cost,
    main,
    parse_shape,
    synthetic_grid,
)


def test_the_gradient_is_that_of_the_sum_of_all_numbers(tiny_experiment):
    experiment = tiny_experiment("--autoencoder.kind", "identity")
    archive = SyntheticArchive(synthetic_grid(5, 12, 8, periodic_x=True), sea_level=False)
    codec = build_codec(experiment, archive)
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


def test_memory_is_the_peak_beyond_what_was_there():
    meter = Meter(repeats=1)
    held = torch.ones(5_000_000)
    growth = meter.peak_memory_growth(lambda: held + 1)
    if growth != growth:
        pytest.skip("the system does not tell its peak of memory")
    assert 15 < growth < 40  # 20 MB


def test_the_command_prints_and_writes(tiny_config, tmp_path, capsys):
    path = tmp_path / "cost.json"
    words = [str(tiny_config), "--grid", "3x8x8", "--repeats", "1", "--output", str(path)]
    main([*words, "--autoencoder.latent_channels", "2"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["grid"] == "3x8x8"
    assert printed["cost"]["compression"] == 6 * 64 / (2 * 16)
    assert json.loads(path.read_text())["cost"].keys() == printed["cost"].keys()


@pytest.mark.parametrize("text", ["36x800", "axbxc", "0x8x8", "3x8x8x8", ""])
def test_a_grid_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="36x800x256"):
        parse_shape(text)
