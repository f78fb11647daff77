"""The reach of a network, from its layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoencoder.layers import Fold, Unfold, head, residuals
from autoencoder.reach import reach_of
from autoencoder.volume_vae import VolumeVAE

DESIGNS = {
    "one stage": {"patch": 4, "channels": (8,), "blocks": 1, "linear_path": True},
    "two stages": {"patch": 1, "channels": (8, 16), "blocks": 1},
}


def test_each_layer_adds_the_cells_that_it_sees():
    assert reach_of(nn.Conv2d(1, 1, 3)) == 1
    assert reach_of(nn.Conv2d(1, 1, 5), nn.Conv2d(1, 1, 1), width=4) == 8
    assert reach_of(residuals(8, 2)) == 4
    assert reach_of(Fold(8, 8), residuals(8, 1)) == 4
    assert reach_of(residuals(8, 1), Unfold(8, 8), head(8, 3, kernel=3), width=2) == 5
    assert reach_of(nn.PixelUnshuffle(3), nn.Conv2d(9, 9, 3), nn.PixelShuffle(3)) == 3


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.Conv2d(1, 1, 3, stride=2)])
def test_a_layer_without_a_known_reach_is_refused(layer):
    with pytest.raises(TypeError, match=type(layer).__name__):
        reach_of(nn.Sequential(layer))


@torch.no_grad()
@pytest.mark.parametrize("design", DESIGNS)
def test_rows_beyond_the_halo_have_no_effect_and_those_just_within_it_have(design):
    torch.manual_seed(0)
    vae = VolumeVAE(
        in_channels=4,
        exchange_channels=1,
        periodic_x=False,
        design=DESIGNS[design] | {"latent_channels": 3},
    )
    for parameter in vae.parameters():
        nn.init.normal_(parameter)  # residual blocks start as the identity
    vae.double().eval()
    factor, middle = vae.design.factor, vae.halo + 1
    x = torch.randn(1, 4, factor * (2 * middle + 1), 4 * factor, dtype=torch.float64)
    own = slice(factor * middle, factor * (middle + 1))

    def decoded_middle(fields: torch.Tensor) -> torch.Tensor:
        return vae.decode(vae.encode(fields)[0])[0][..., own, :]

    beyond, within = x.clone(), x.clone()
    beyond[..., :factor, :] += 1
    within[..., factor : 3 * factor, :] += 1  # the halo is at most a latent cell too wide
    assert torch.equal(decoded_middle(beyond), decoded_middle(x))
    assert not torch.equal(decoded_middle(within), decoded_middle(x))
