"""The latent cache."""

from __future__ import annotations

import pytest
import torch

from data.archive.reader import StateArchive
from data.errors import Stopped, UserError
from data.tensor_sums import load_tensors, save_tensors
from latent_diffusion.latents import _Encoding, latent_datasets


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


def test_pieces_that_several_processes_stored_are_joined(codec, archive, tmp_path, monkeypatch):
    """A damaged piece, and one of another autoencoder, are encoded again."""
    monkeypatch.setattr("latent_diffusion.latents.AT_ONCE", 2)
    latent_datasets(codec, archive, path=tmp_path / "whole")
    encoding = _Encoding(codec, archive, tmp_path / "joined")
    encoding.share()  # as the only process: all pieces
    stored = sorted((tmp_path / "joined.pieces").iterdir())
    assert len(stored) == sum(-(-len(archive.indices(s)) // 2) for s in ("train", "validation"))
    stored[0].write_bytes(stored[0].read_bytes()[:-1])
    tensors, about = load_tensors(stored[1])
    save_tensors(tensors, stored[1], about=about | {"autoencoder": "another"})
    encode, encoded = codec.encode_distribution, []

    def note(state):
        encoded.append(len(state))
        return encode(state)

    monkeypatch.setattr(codec, "encode_distribution", note)
    encoding.write()
    assert len(encoded) == 2
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not (tmp_path / "joined.pieces").exists()


def test_an_encoding_that_is_stopped_keeps_its_pieces(codec, archive, tmp_path, monkeypatch):
    monkeypatch.setattr("latent_diffusion.latents.AT_ONCE", 2)
    answers = iter([False, True])
    monkeypatch.setattr("latent_diffusion.latents.stop_requested", lambda: next(answers))
    monkeypatch.setattr("training.launch.stop_requested", lambda: True)
    with pytest.raises(Stopped):
        _Encoding(codec, archive, tmp_path / "latents").share()
    assert len([*(tmp_path / "latents.pieces").iterdir()]) == 1
    assert not (tmp_path / "latents").exists()


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
