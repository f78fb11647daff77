"""The ocean stored in a codec, and archives that do not match it."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autoencoder.train import load_codec
from data.errors import UserError
from data.salinity import salinity_of


@pytest.mark.parametrize(
    "variant",
    [
        {"rows": 12, "columns": 8},
        {"rows": 11, "columns": 9},
        {"rows": 13, "columns": 7, "periodic_x": False},
    ],
)
def test_padding_comes_off_again(make_codec, variant):
    codec, archive = make_codec(**variant)
    field = torch.randn(2, *archive.grid.shape)
    padded = codec.padding.pad(field)
    assert all(size % 8 == 0 for size in padded.shape[-2:])
    assert torch.equal(codec.padding.crop(padded), field)


def test_the_fingerprint_changes_with_any_weight_or_statistic(make_codec):
    codec, _ = make_codec()
    seen = {codec.fingerprint}
    for tensor in (next(codec.vae.parameters()), codec.statistics.std, codec.latent_mean):
        with torch.no_grad():
            tensor.view(-1)[0] += 1e-3
        seen.add(codec.fingerprint)
    assert len(seen) == 4


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
    ("field", "factor", "name"),
    [
        ("longitude", 1.01, "longitudes"),
        ("latitude", 0.9, "latitudes"),
        ("area", 4.0, "cell areas"),
        ("thickness", 0.5, "thicknesses"),
    ],
)
def test_another_place_with_the_same_wet_mask_is_refused(make_codec, field, factor, name):
    codec, archive = make_codec()
    moved = dataclasses.replace(archive.grid, **{field: factor * getattr(archive.grid, field)})
    with pytest.raises(UserError, match=f"the archive's {name} differ from those"):
        codec.check_grid(moved)


def test_single_precision_and_other_turns_of_longitude_are_the_same_place(make_codec):
    codec, archive = make_codec()
    places = {"longitude": archive.grid.longitude - 360, "latitude": archive.grid.latitude}
    single = {name: values.astype("f4").astype("f8") for name, values in places.items()}
    codec.check_grid(dataclasses.replace(archive.grid, **single))


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


def test_generated_states_fit_whatever_the_unit_of_the_training_data(make_codec):
    codec, archive = make_codec()
    codec.register_to_config(ocean=codec.config.ocean | {"salinity_units": "g/kg"})
    archive.salinity_units = salinity_of(archive.equation_of_state).units
    codec.check_archive(archive)


def test_the_static_maps_contain_land_and_position(make_codec):
    codec, _ = make_codec("identity", rows=12, columns=8)
    surface, column, north, cosine, sine = codec.static_maps
    assert torch.equal(surface, codec.padding.pad(codec.grid_wet[0].float()))
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


def test_the_grid_is_not_copied(make_codec):
    codec, archive = make_codec()
    grid = codec.grid
    for name in ("wet", "thickness"):
        assert np.shares_memory(getattr(grid, name), getattr(codec, f"grid_{name}").numpy())
        np.testing.assert_array_equal(getattr(grid, name), getattr(archive.grid, name))


def test_codecs_that_held_the_wet_mask_as_numbers_are_the_same(make_codec, tmp_path):
    """As version 0.1.0 wrote them: with the fingerprint that cached latents name."""
    codec, _ = make_codec()
    codec.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["grid_wet"] = tensors["grid_wet"].double()
    save_file(tensors, file, metadata={"format": "pt"})
    loaded = load_codec(tmp_path)
    assert loaded.grid_wet.dtype == torch.bool
    assert torch.equal(loaded.grid_wet, codec.grid_wet)
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    assert loaded.fingerprint == codec.fingerprint == digest.hexdigest()[:16]
