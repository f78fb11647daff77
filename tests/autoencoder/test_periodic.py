"""Convolutions on an ocean that is periodic in x."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoencoder.periodic import PeriodicConv2d, make_periodic
from autoencoder.volume_vae import VolumeVAE


def test_rolling_the_input_in_x_rolls_the_output():
    convolution = PeriodicConv2d(2, 3, 3, padding=1)
    x = torch.randn(1, 2, 5, 6)
    for shift in (1, 4):
        rolled = convolution(x.roll(shift, dims=-1))
        torch.testing.assert_close(rolled, convolution(x).roll(shift, dims=-1))


def test_the_walls_in_y_stay_walls():
    convolution, plain = PeriodicConv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1)
    plain.load_state_dict(convolution.state_dict())
    x = torch.randn(1, 2, 5, 6)
    torch.testing.assert_close(convolution(x)[..., 1:-1], plain(x)[..., 1:-1])
    rolled = convolution(x.roll(1, dims=-2))
    assert not torch.allclose(rolled, convolution(x).roll(1, dims=-2))


def test_convolutions_of_a_network_become_periodic_once_and_for_all():
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1))
    make_periodic(network)
    make_periodic(network)
    assert [type(layer) for layer in network] == [PeriodicConv2d, nn.Conv2d]


@pytest.mark.parametrize("periodic", [True, False])
def test_the_autoencoder_is_equivariant_only_on_a_periodic_ocean(periodic):
    torch.manual_seed(0)
    design = {"latent_channels": 2, "patch": 2, "channels": [8, 16], "blocks": 1}
    vae = VolumeVAE(in_channels=6, exchange_channels=0, periodic_x=periodic, design=design).eval()
    x = torch.randn(1, 6, 8, 16)
    shift = vae.design.factor
    mean, rolled = vae.encode(x)[0], vae.encode(x.roll(shift, dims=-1))[0]
    assert torch.allclose(rolled, mean.roll(1, dims=-1), atol=1e-5) == periodic
    decoded, moved = vae.decode(mean)[0], vae.decode(mean.roll(1, dims=-1))[0]
    assert torch.allclose(moved, decoded.roll(shift, dims=-1), atol=1e-5) == periodic
