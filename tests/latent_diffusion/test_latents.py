"""The latent cache."""

from __future__ import annotations

import pytest
import torch

from data.archive.reader import StateArchive
from data.errors import UserError
from latent_diffusion.latents import latent_datasets


@pytest.fixture
def codec(trained):
    return trained.codec()


@pytest.fixture
def archive(trained):
    return trained.archive


@torch.no_grad()
@pytest.mark.parametrize("split", ["train", "validation"])
def test_cached_latents_equal_fresh_ones(codec, archive, tmp_path, split):
    path = tmp_path / "latents.safetensors"
    latent_datasets(codec, archive, path=path)
    dataset = latent_datasets(codec, archive, path=path)[split]
    indices = archive.indices(split)
    assert len(dataset) == len(indices)
    for item in (0, len(dataset) - 1):
        moments, position = dataset[item]
        assert position == item
        mean, std = codec.encode_distribution(archive.read([indices[item]]))
        torch.testing.assert_close(moments, torch.stack([mean[0], std[0]]), atol=1e-5, rtol=1e-5)


def test_the_cache_is_written_once(codec, archive, tmp_path):
    path = tmp_path / "latents.safetensors"
    latent_datasets(codec, archive, path=path)
    written = path.stat().st_mtime_ns
    latent_datasets(codec, archive, path=path)
    assert path.stat().st_mtime_ns == written
    assert list(tmp_path.iterdir()) == [path]


def test_latents_of_another_autoencoder_are_refused(codec, archive, tmp_path):
    path = tmp_path / "latents.safetensors"
    latent_datasets(codec, archive, path=path)
    with torch.no_grad():
        next(codec.vae.parameters()).add_(1e-3)
    with pytest.raises(UserError, match="cached from another autoencoder"):
        latent_datasets(codec, archive, path=path)


def test_a_damaged_cache_is_refused(codec, archive, tmp_path):
    path = tmp_path / "latents.safetensors"
    latent_datasets(codec, archive, path=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"latents\.safetensors cannot be read"):
        latent_datasets(codec, archive, path=path)


def test_every_flipped_bit_of_the_cache_is_found(codec, archive, tmp_path, flip_bits):
    path = tmp_path / "latents.safetensors"
    latent_datasets(codec, archive, path=path)
    for _ in flip_bits(path, times=30):
        with pytest.raises(UserError, match=r"latents\.safetensors"):
            latent_datasets(codec, archive, path=path)


def test_latents_of_another_archive_are_refused(codec, archive, tmp_path, write_tiny_archive):
    path = tmp_path / "latents.safetensors"
    latent_datasets(codec, archive, path=path)
    other = StateArchive.open(write_tiny_archive(tmp_path / "other.zarr", seed=1))
    with pytest.raises(UserError, match="cached from another archive"):
        latent_datasets(codec, other, path=path)


def test_an_interrupted_encoding_goes_on_to_the_same_file(codec, archive, tmp_path, monkeypatch):
    monkeypatch.setattr("latent_diffusion.latents.AT_ONCE", 2)
    latent_datasets(codec, archive, path=tmp_path / "whole")
    read = type(archive).read
    batches = []

    def stop(self, indices):
        batches.append(indices)
        if len(batches) == 3:
            raise KeyboardInterrupt
        return read(self, indices)

    monkeypatch.setattr(type(archive), "read", stop)
    with pytest.raises(KeyboardInterrupt):
        latent_datasets(codec, archive, path=tmp_path / "again")
    states = [len(archive.indices(split)) for split in ("train", "validation")]
    latent_datasets(codec, archive, path=tmp_path / "again")
    # The first batch was on the disk for certain, so that it was not encoded again.
    assert len(batches) - 3 == sum(-(-count // 2) for count in states) - 1
    assert (tmp_path / "again").read_bytes() == (tmp_path / "whole").read_bytes()


def test_large_states_are_encoded_one_by_one(codec, archive, tmp_path, monkeypatch):
    monkeypatch.setattr("data.batches.MOST_BYTES", 1)
    sizes = []
    read = type(archive).read

    def note(self, indices):
        sizes.append(len(indices))
        return read(self, indices)

    monkeypatch.setattr(type(archive), "read", note)
    latent_datasets(codec, archive, path=tmp_path / "latents.safetensors")
    assert set(sizes) == {1}
