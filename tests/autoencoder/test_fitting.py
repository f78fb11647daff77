"""Fits of a codec to its training states."""

from __future__ import annotations

import pytest
import torch

from autoencoder.fitting import standardise_latents


@torch.no_grad()
def test_latents_are_standardised_over_the_training_set(make_codec, training_batches):
    codec, archive = make_codec(rows=11, columns=9)
    standardise_latents(codec, training_batches(archive, 5))  # unequal batches
    mean, std = codec.encode_distribution(archive.read(archive.indices("train")))
    channels = (0, 2, 3)
    variance = mean.var(dim=channels, correction=0) + std.square().mean(dim=channels)
    torch.testing.assert_close(mean.mean(dim=channels), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance.mean(), torch.ones(()), atol=1e-4, rtol=0)
    assert (std > 0.01).all(), "the posterior's own variance is part of what is standardised"


@torch.no_grad()
def test_latents_of_equal_size_have_equal_effect(make_codec, training_batches):
    codec, archive = make_codec("vae without mixing", rows=11, columns=9)
    for parameter in codec.vae.head.parameters():
        parameter *= 10  # the untrained decoder hardly heeds its latents
    standardise_latents(codec, training_batches(archive, 8))
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


@torch.no_grad()
def test_standardising_changes_the_latents_and_not_the_states(make_codec, training_batches):
    codec, archive = make_codec()
    state = archive.read([0])
    before, latents = codec.decode(codec.encode(state)), codec.encode(state)
    standardise_latents(codec, training_batches(archive, 8))
    assert not torch.allclose(codec.encode(state), latents, atol=0.1)
    torch.testing.assert_close(
        codec.decode(codec.encode(state)).to_channels(), before.to_channels(), atol=1e-4, rtol=0
    )
