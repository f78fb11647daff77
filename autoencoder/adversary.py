"""A critic of patches, trained against the autoencoder in the same step and by one optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

WIDTH = 32
SLOPE = 0.2


class Adversary(nn.Module):
    """How well a critic tells reconstructions from true fields, by patches of ten cells a side.

    A Wasserstein critic (Arjovsky et al. 2017) on patches (Isola et al. 2017), kept smooth by
    spectral normalisation (Miyato et al. 2018). Between the reconstruction and the critic the
    gradient is reversed (Ganin and Lempitsky 2015): the step that lowers this loss makes the
    critic more discerning and the reconstruction less discernible.

    channels: c, all levels of all variables
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, WIDTH, 3, padding=1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(2 * WIDTH, 1, 3, padding=1)),
        )

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Mean score of reconstructed patches less that of true ones.

        reconstruction, target: normalised `b c y x`, land 0
        """
        fields = torch.cat([reverse_gradient(reconstruction), target]).float()
        # In float32: scores differ by little, and the normalisation iterates in place.
        with torch.autocast(fields.device.type, enabled=False):
            reconstructed, true = self.critic(fields).chunk(2)
        return reconstructed.mean() - true.mean()


def reverse_gradient(x: Tensor) -> Tensor:
    """`x` itself; its gradient comes back with the other sign."""
    return _ReverseGradient.apply(x)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]
