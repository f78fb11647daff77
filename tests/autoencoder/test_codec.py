"""Codecs between physical states and latents."""

from __future__ import annotations

import pytest
import torch

from autoencoder.codec import Codec
from data.state import State
from studies.cost.counting import LiveMemory

VARIANTS = [
    {"rows": 12, "columns": 8},
    {"rows": 11, "columns": 9, "sea_level": True},
    {"rows": 13, "columns": 7, "sea_level": True, "periodic_x": False},
    {"rows": 9, "columns": 10, "periodic_x": False},
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["vae", "vae without mixing", "identity"])
@torch.no_grad()
def test_any_grid_goes_through_and_comes_back_in_physical_units(make_codec, kind, variant):
    codec, archive = make_codec(kind, **variant)
    state = archive.read([0, 1])
    latents = codec.encode(state)
    decoded = codec.decode(latents)

    assert latents.shape == (2, *codec.latent_shape)
    assert codec.latent_weight.shape == codec.latent_shape
    assert codec.static_maps.shape == (5, *codec.latent_shape[1:])
    assert decoded.temperature.shape == state.temperature.shape
    assert (decoded.sea_level is not None) == archive.has_sea_level
    wet = codec.statistics.wet
    assert (decoded.to_channels()[:, ~wet] == 0).all()
    # The error of an untrained network is a few standard deviations; wrong units exceed it.
    anomaly = codec.statistics.normalise(decoded)[:, wet]
    assert anomaly.abs().max() < 10
    assert 5 < decoded.temperature[:, 0][:, archive.grid.wet[0]].mean() < 25


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_data_space_is_the_identity(make_codec, variant):
    codec, archive = make_codec("identity", **variant)
    state = archive.read([0, 5])
    torch.testing.assert_close(
        codec.decode(codec.encode(state)).to_channels(), state.to_channels(), atol=2e-5, rtol=0
    )
    mean, std = codec.encode_distribution(state)
    assert (std == 0).all()
    assert mean[:, codec.latent_weight == 0].abs().max() == 0


def test_a_codec_without_its_methods_cannot_be_made():
    class Unfinished(Codec):
        def encode(self, state: State) -> torch.Tensor:
            return state.to_channels()

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


@pytest.mark.parametrize("kind", ["vae", "identity"])
@torch.no_grad()
def test_strips_make_up_the_whole_state(make_codec, monkeypatch, kind):
    codec, archive = make_codec(kind, rows=27, columns=9, sea_level=True)
    latents = codec.encode(archive.read([0, 1]))
    whole = codec.decode(latents)
    assert len(codec.strips(2)) == 1
    monkeypatch.setattr("autoencoder.strips.STRIP_NUMBERS", 1)
    assert len(codec.strips(2)) > 4
    in_strips = codec.decode(latents)
    assert in_strips.sea_level is not None
    torch.testing.assert_close(in_strips.to_channels(), whole.to_channels(), rtol=0, atol=1e-4)
    with torch.enable_grad():
        differentiable = codec.decode(latents)
    assert torch.equal(differentiable.to_channels(), in_strips.to_channels())


@torch.no_grad()
def test_decoding_holds_little_more_than_the_state(make_codec, monkeypatch):
    codec, archive = make_codec("identity", rows=64, columns=32)
    latents = codec.encode(archive.read([0]))
    monkeypatch.setattr("autoencoder.strips.STRIP_NUMBERS", 1)
    with LiveMemory() as memory:
        state = codec.decode(latents)
    size = state.to_channels().nbytes
    assert size <= memory.peak < 1.3 * size


def test_compression_counts_wet_cells(make_codec):
    codec, archive = make_codec(rows=11, columns=9, sea_level=True)
    wet = 2 * archive.grid.wet.sum() + archive.grid.wet[0].sum()
    assert codec.latent_shape == (3, 4, 4)  # padded to 16 x 16, four cells a side
    assert codec.compression == pytest.approx(wet / 48)


@torch.no_grad()
def test_values_on_land_have_no_effect(make_codec):
    codec, archive = make_codec(rows=11, columns=9, sea_level=True)
    state = archive.read([0, 1])
    channels = state.to_channels()
    wet = codec.statistics.wet
    littered = State.from_channels(torch.where(wet, channels, 1e3), levels=state.levels)
    latents = codec.encode(state)
    assert torch.equal(codec.encode(littered), latents)
    assert (~wet).any()
