"""Saved codecs, of this version and of an earlier one."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from autoencoder.codec import IdentityCodec, VolumeCodec
from autoencoder.fitting import standardise_latents
from autoencoder.ocean import describe_ocean
from data.errors import UserError

# Written by commit 840a70a.
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
]


@pytest.mark.parametrize("kind", ["vae", "vae without mixing", "identity"])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_a_saved_codec_comes_back_bit_for_bit(
    make_codec, training_batches, tmp_path, kind, variant
):
    codec, archive = make_codec(kind, **variant)
    if kind != "identity":
        standardise_latents(codec, training_batches(archive, 8))
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


def test_the_configuration_is_plain_json_and_holds_the_design(make_codec, codec_design, tmp_path):
    codec, archive = make_codec()
    codec.save_pretrained(tmp_path / "codec")
    written = json.loads((tmp_path / "codec" / "config.json").read_text())
    assert written["design"] == codec_design | {"mixing": True}
    assert written["ocean"] == describe_ocean(archive)
    files = (tmp_path / "codec").iterdir()
    assert sorted(path.suffix for path in files) == [".json", ".safetensors"]
