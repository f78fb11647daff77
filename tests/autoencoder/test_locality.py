"""Functions of place on the grid of the latents."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autoencoder.locality import latent_tapers
from data.localisation import distance_km
from data.locate import Locator


@pytest.mark.parametrize("kind", ["identity", "vae"])
def test_tapers_localise_by_the_distance_of_the_latents_places(make_codec, kind):
    """1 for one place in the ocean, 0 beyond the distance; 0 on land and in the padding."""
    codec, archive = make_codec(kind, rows=20, columns=12, periodic_x=False)
    grid, size = archive.grid, codec.padding.padded_shape[0] // codec.latent_shape[1]
    assert size == (1 if kind == "identity" else 4)
    tapers = latent_tapers(codec, 5000.0)
    assert tapers.shape[1:] == codec.latent_shape[1:]

    def mean(field: np.ndarray) -> torch.Tensor:
        return F.avg_pool2d(codec.padding.pad(torch.from_numpy(field)[None]), size)[0]

    wet = grid.wet.any(axis=0).astype(float)
    share = mean(wet)
    assert torch.allclose(tapers.square().sum(dim=0), (share > 0).double())
    x, y = (mean(z * wet)[share > 0] / share[share > 0] for z in grid.positions)
    places = torch.stack([x, y]).numpy()
    distance = distance_km(places, places, Locator(grid))
    flat = tapers[:, share > 0]
    factors = (flat.T @ flat).numpy()
    assert (distance > 5100).any() and (factors[distance > 5100] == 0).all()
    assert factors[distance < 500].min() > 0.8
