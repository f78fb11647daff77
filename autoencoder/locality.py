"""Functions of place that localise covariances of latents."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoder.codec import Codec
from data.grid import wet_tensor
from data.localisation import in_space, tapers
from data.locate import Locator


def latent_tapers(codec: Codec, vanishes: float) -> Tensor:
    """The `data.localisation.tapers` `a h w` of the latents' places; 0 where there is no ocean.

    vanishes: distance at which covariances are 0 [km]. Raises `UserError` for a distance that is
    too short for this grid.
    """
    grid = codec.grid
    places = np.stack([z.ravel() for z in grid.positions])
    points = torch.from_numpy(in_space(places, Locator(grid))).view(3, *grid.shape[1:])
    wet = wet_tensor(grid).any(dim=0)
    size = codec.padding.padded_shape[0] // codec.latent_shape[1]
    # Mean places of the ocean's cells that a latent cell holds.
    share, moments = (
        F.avg_pool2d(codec.padding.pad(x.double()), size) for x in (wet[None], points * wet)
    )
    ocean = share[0] > 0
    values = torch.from_numpy(tapers((moments / share)[:, ocean].numpy(), vanishes))
    found = torch.zeros(len(values), *ocean.shape, dtype=values.dtype)
    found[:, ocean] = values
    return found
