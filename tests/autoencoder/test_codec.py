"""The seam between physical states and latents."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from autoencoder.codec import Codec, IdentityCodec, VolumeCodec
from autoencoder.fitting import standardise_latents
from autoencoder.ocean import describe_ocean
from data.archive.reader import StateArchive
from data.errors import UserError
from data.normalisation import Statistics
from data.state import State
from studies.cost.counting import LiveMemory

DESIGN = {"latent_channels": 3, "patch": 2, "channels": [8, 16], "blocks": 1}
# Of a codec that commit 840a70a wrote.
FORMER_CONFIG = """{
  "_class_name": "VolumeCodec",
  "_diffusers_version": "0.42.1",
  "blocks": 1,
  "channels": [8, 16],
  "effect_exponent": 1.0,
  "head_kernel": 1,
  "latent_channels": 3,
  "latent_noise": 0.0,
  "linear_path": false,
  "mixing": true,
  "multiple": 8,
  "network": "folded",
  "ocean": {
    "columns": 8,
    "curvilinear": false,
    "equation_of_state": "veros-vallis",
    "grid_digest": "0b501f13d0239c66",
    "horizontal_units": "degrees",
    "levels": 5,
    "periodic_x": true,
    "rows": 12,
    "salinity_units": "1e-3",
    "sea_level": false
  },
  "patch": 2,
  "shortcuts": true,
  "train_modes": true,
  "vertical_modes": 0
}
"""
FORMER_IDENTITY_CONFIG = """{
  "_class_name": "IdentityCodec",
  "_diffusers_version": "0.42.1",
  "multiple": 4,
  "ocean": {
    "columns": 8,
    "curvilinear": false,
    "equation_of_state": "veros-vallis",
    "grid_digest": "0b501f13d0239c66",
    "horizontal_units": "degrees",
    "levels": 5,
    "periodic_x": true,
    "rows": 12,
    "salinity_units": "1e-3",
    "sea_level": false
  }
}
"""
VARIANTS = [
    {"rows": 12, "columns": 8},
    {"rows": 11, "columns": 9, "sea_level": True},
    {"rows": 13, "columns": 7, "sea_level": True, "periodic_x": False},
    {"rows": 9, "columns": 10, "periodic_x": False},
]


@pytest.fixture
def make_codec(tmp_path, write_tiny_archive):
    """An untrained codec of `kind` for an archive of the given shape, and that archive."""

    def make(kind: str = "vae", **variant) -> tuple[VolumeCodec | IdentityCodec, StateArchive]:
        archive = StateArchive.open(write_tiny_archive(tmp_path / "a.zarr", **variant))
        ocean = describe_ocean(archive)
        torch.manual_seed(0)
        if kind == "identity":
            codec = IdentityCodec(ocean=ocean, multiple=4)
        else:
            mixing = {"mixing": kind != "vae without mixing"}
            codec = VolumeCodec(ocean=ocean, multiple=8, design=DESIGN | mixing)
        indices = archive.indices("train")
        codec.adopt(archive.grid, Statistics.from_archive(archive, indices=indices))
        return codec.eval(), archive

    return make


def _batches(archive: StateArchive, size: int) -> list[State]:
    indices = archive.indices("train")
    return [archive.read(indices[i : i + size]) for i in range(0, len(indices), size)]


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
    # An untrained network is wrong by a few standard deviations, not by the units.
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_comes_off_again(make_codec, variant):
    codec, archive = make_codec(**variant)
    field = torch.randn(2, *archive.grid.shape)
    padded = codec.padding.pad(field)
    assert all(size % 8 == 0 for size in padded.shape[-2:])
    assert torch.equal(codec.padding.crop(padded), field)


@pytest.mark.parametrize("kind", ["vae", "vae without mixing", "identity"])
@pytest.mark.parametrize("variant", VARIANTS[:3])
@torch.no_grad()
def test_a_saved_codec_comes_back_bit_for_bit(make_codec, tmp_path, kind, variant):
    codec, archive = make_codec(kind, **variant)
    if kind != "identity":
        standardise_latents(codec, _batches(archive, 8))
    codec.save_pretrained(tmp_path / "codec")
    loaded = type(codec).from_pretrained(tmp_path / "codec").eval()

    state = archive.read([3])
    latents = codec.encode(state)
    assert torch.equal(loaded.encode(state), latents)
    assert torch.equal(loaded.decode(latents).to_channels(), codec.decode(latents).to_channels())
    assert loaded.fingerprint == codec.fingerprint
    assert loaded.compression == codec.compression
    for field in dataclasses.fields(archive.grid):
        mine, theirs = getattr(loaded.grid, field.name), getattr(archive.grid, field.name)
        assert np.array_equal(mine, theirs), field.name
    for name, buffer in codec.statistics.named_buffers():
        assert torch.equal(loaded.statistics.get_buffer(name), buffer)
    loaded.check_grid(archive.grid)


def test_a_codec_of_an_earlier_version_is_refused_in_a_sentence(make_codec, tmp_path):
    codec, _ = make_codec()
    codec.save_pretrained(tmp_path / "codec")
    (tmp_path / "codec" / "config.json").write_text(FORMER_CONFIG)
    with pytest.raises(UserError, match=r"has no `design`: train the codec again"):
        VolumeCodec.from_pretrained(tmp_path / "codec")


@torch.no_grad()
def test_a_data_space_codec_of_an_earlier_version_is_read(make_codec, tmp_path):
    codec, archive = make_codec("identity")
    codec.save_pretrained(tmp_path / "codec")
    (tmp_path / "codec" / "config.json").write_text(FORMER_IDENTITY_CONFIG)
    loaded = IdentityCodec.from_pretrained(tmp_path / "codec").eval()
    loaded.check_archive(archive)
    state = archive.read([3])
    assert torch.equal(loaded.encode(state), codec.encode(state))
    assert loaded.fingerprint == codec.fingerprint


def test_the_configuration_is_plain_json_and_holds_the_design(make_codec, tmp_path):
    codec, archive = make_codec()
    codec.save_pretrained(tmp_path / "codec")
    written = json.loads((tmp_path / "codec" / "config.json").read_text())
    assert written["design"] == DESIGN | {"mixing": True}
    assert written["ocean"] == describe_ocean(archive)
    files = (tmp_path / "codec").iterdir()
    assert sorted(path.suffix for path in files) == [".json", ".safetensors"]


def test_a_codec_without_its_methods_cannot_be_made():
    class Unfinished(Codec):
        def encode(self, state: State) -> torch.Tensor:
            return state.to_channels()

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


def test_the_fingerprint_changes_with_any_weight_or_statistic(make_codec):
    codec, _ = make_codec()
    seen = {codec.fingerprint}
    for tensor in (next(codec.vae.parameters()), codec.statistics.std, codec.latent_mean):
        with torch.no_grad():
            tensor.view(-1)[0] += 1e-3
        seen.add(codec.fingerprint)
    assert len(seen) == 4


@torch.no_grad()
def test_latents_are_standardised_over_the_training_set(make_codec):
    codec, archive = make_codec(rows=11, columns=9)
    standardise_latents(codec, _batches(archive, 5))  # unequal batches
    mean, std = codec.encode_distribution(archive.read(archive.indices("train")))
    channels = (0, 2, 3)
    variance = mean.var(dim=channels, correction=0) + std.square().mean(dim=channels)
    torch.testing.assert_close(mean.mean(dim=channels), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance.mean(), torch.ones(()), atol=1e-4, rtol=0)
    assert (std > 0.01).all(), "the posterior's own variance is part of what is standardised"


@torch.no_grad()
def test_latents_of_equal_size_have_equal_effect(make_codec):
    codec, archive = make_codec("vae without mixing", rows=11, columns=9)
    for parameter in codec.vae.head.parameters():
        parameter *= 10  # the untrained decoder hardly heeds its latents
    standardise_latents(codec, _batches(archive, 8))
    latents, noise = codec.encode_distribution(archive.read(range(8)))
    variance = latents.var(dim=(0, 2, 3)) + noise.square().mean(dim=(0, 2, 3))
    assert variance.mean().item() == pytest.approx(1, abs=0.2)
    before, effects = codec.statistics.normalise(codec.decode(latents)), []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += 0.1 * torch.randn(moved[:, channel].shape)
        effects.append((codec.statistics.normalise(codec.decode(moved)) - before).norm())
    assert max(effects) < 1.3 * min(effects)
    assert variance.max() > 1.5 * variance.min()  # so it was not for equal spread


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


@torch.no_grad()
def test_standardising_changes_the_latents_and_not_the_states(make_codec):
    codec, archive = make_codec()
    state = archive.read([0])
    before, latents = codec.decode(codec.encode(state)), codec.encode(state)
    standardise_latents(codec, _batches(archive, 8))
    assert not torch.allclose(codec.encode(state), latents, atol=0.1)
    torch.testing.assert_close(
        codec.decode(codec.encode(state)).to_channels(), before.to_channels(), atol=1e-4, rtol=0
    )


def test_compression_counts_wet_cells(make_codec):
    codec, archive = make_codec(rows=11, columns=9, sea_level=True)
    wet = 2 * archive.grid.wet.sum() + archive.grid.wet[0].sum()
    assert codec.latent_shape == (3, 4, 4)  # padded to 16 x 16, four cells a side
    assert codec.compression == pytest.approx(wet / 48)


def test_another_grid_is_refused_in_a_sentence(make_codec, tiny_grid):
    codec, archive = make_codec()
    wet = archive.grid.wet.copy()
    wet[0, 5, 5] = False
    with pytest.raises(UserError, match="wet mask differs in 1 cells"):
        codec.check_grid(dataclasses.replace(archive.grid, wet=wet))
    shallow = {name: getattr(archive.grid, name)[:4] for name in ("depth", "thickness", "wet")}
    with pytest.raises(UserError, match="4 levels, fewer than the 5"):
        codec.check_grid(dataclasses.replace(archive.grid, **shallow))
    with pytest.raises(UserError, match=r"11 x 8 cells"):
        codec.check_grid(tiny_grid(11, 8))


@pytest.mark.parametrize(
    ("name", "other"), [("equation_of_state", "jmd95"), ("salinity_units", "g kg-1")]
)
def test_an_archive_of_other_physics_is_refused_in_a_sentence(make_codec, name, other):
    codec, archive = make_codec()
    codec.check_archive(archive)
    found = getattr(archive, name)
    codec.register_to_config(ocean=codec.config.ocean | {name: other})
    with pytest.raises(UserError, match=f"{name.replace('_', ' ')} {found}, but .* {other}"):
        codec.check_archive(archive)


@torch.no_grad()
def test_what_is_written_on_land_changes_nothing(make_codec):
    codec, archive = make_codec(rows=11, columns=9, sea_level=True)
    state = archive.read([0, 1])
    channels = state.to_channels()
    wet = codec.statistics.wet
    littered = State.from_channels(torch.where(wet, channels, 1e3), levels=state.levels)
    latents = codec.encode(state)
    assert torch.equal(codec.encode(littered), latents)
    assert (~wet).any()


def test_the_network_is_told_where_land_is_and_where_it_is(make_codec):
    codec, _ = make_codec("identity", rows=12, columns=8)
    surface, column, north, cosine, sine = codec.static_maps
    assert torch.equal(surface, codec.padding.pad(codec.grid_wet[0]).float())
    assert (column <= surface).all()
    assert (column < surface).any()
    assert torch.equal(north[:, 0], torch.linspace(-1, 1, 12))
    torch.testing.assert_close(cosine**2 + sine**2, torch.ones(12, 8))


def test_the_maps_are_those_of_the_adopted_grid_and_can_be_met_by_gradients(make_codec):
    codec, archive = make_codec("identity", rows=12, columns=8)
    with torch.inference_mode():
        before = codec.static_maps
    assert codec.static_maps is before and not before.is_inference()
    codec.adopt(dataclasses.replace(archive.grid, wet=archive.grid.wet & False), codec.statistics)
    assert not codec.static_maps[:2].any()
