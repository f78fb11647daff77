"""Conversion between the network's prediction and the clean estimate."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DModel

from latent_diffusion.denoiser import (
    Denoiser,
    NoiseLevel,
    build_unet,
    clean_estimate,
    velocity,
    velocity_target,
)
from latent_diffusion.gaussian import MemberGaussians

LEVELS = [NoiseLevel(signal, (1 - signal**2) ** 0.5) for signal in (0.05, 0.6, 0.999)]


@pytest.mark.parametrize("level", LEVELS)
def test_velocity_is_the_inverse_of_the_clean_estimate(level):
    v, scaled = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 3, 4, 4).double()
    torch.testing.assert_close(velocity(clean_estimate(v, scaled, level), scaled, level), v)


@pytest.mark.parametrize("level", LEVELS)
def test_the_true_velocity_leads_to_the_clean_latent(level):
    clean, noise = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 3, 4, 4).double()
    scaled = level.signal * clean + level.noise * noise
    v = velocity_target(clean, noise, torch.tensor(level.signal), torch.tensor(level.noise))
    torch.testing.assert_close(clean_estimate(v, scaled, level), clean, atol=1e-6, rtol=1e-6)


def test_the_network_is_given_the_static_maps():
    unet = build_unet(
        (3, 8, 8), static_maps=2, channels=(8, 16), blocks=1, attention=False, dropout=0
    )
    torch.nn.init.normal_(unet.conv_out.weight)
    scaled, maps = torch.randn(2, 3, 8, 8), torch.zeros(2, 8, 8)
    plain, with_maps = (_predict(unet, scaled, each) for each in (maps, maps + 1))
    assert plain.shape == scaled.shape
    assert not torch.allclose(plain, with_maps)


def test_an_untrained_network_adds_nothing_to_the_gaussian():
    unet = build_unet((3, 8, 8), static_maps=0, channels=(8,), blocks=1, attention=False, dropout=0)
    assert (_predict(unet, torch.randn(2, 3, 8, 8), torch.zeros(0, 8, 8)) == 0).all()
    gaussian = MemberGaussians((3, 8, 8))
    gaussian.means.fill_(2.0)
    v = _predict(unet, torch.randn(2, 3, 8, 8), torch.zeros(0, 8, 8), gaussian)
    torch.testing.assert_close(v, torch.full_like(v, -0.8 * 2.0))


@torch.no_grad()
def _predict(
    unet: UNet2DModel,
    scaled: torch.Tensor,
    maps: torch.Tensor,
    gaussian: MemberGaussians | None = None,
) -> torch.Tensor:
    denoiser = Denoiser(unet, gaussian or MemberGaussians((3, 8, 8)), maps).eval()
    return denoiser(scaled, torch.tensor(10), signal=0.6, noise=0.8)


def test_attention_sits_in_the_lowest_stage_alone():
    unet = build_unet(
        (3, 8, 8), static_maps=0, channels=(8, 32), blocks=1, attention=True, dropout=0
    )
    assert unet.config.down_block_types == ("DownBlock2D", "AttnDownBlock2D")
    assert unet.config.up_block_types == ("AttnUpBlock2D", "UpBlock2D")
    assert _predict(unet, torch.randn(1, 3, 8, 8), torch.zeros(0, 8, 8)).shape == (1, 3, 8, 8)
