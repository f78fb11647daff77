"""Convolutions on a periodic x axis."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PeriodicConv2d(nn.Conv2d):
    """A convolution whose padding wraps in x and is zero in y."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        pad_y, pad_x = map(int, self.padding)
        input = F.pad(input, (pad_x, pad_x, 0, 0), mode="circular")
        return F.conv2d(input, weight, bias, self.stride, (pad_y, 0), self.dilation, self.groups)


def make_periodic(network: nn.Module) -> None:
    """Make every padded convolution of `network` periodic in x, in place.

    Needed for diffusers networks, whose padding modes apply to both axes.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.padding not in {0, (0, 0), "valid"}:
            module.__class__ = PeriodicConv2d
