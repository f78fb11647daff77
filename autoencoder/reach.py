"""The reach of a network: how far from a cell its output depends on its input.

It is computed from the layers. A layer without a known reach is refused, such as attention or a
normalisation over the field: a network with one can only be trained and evaluated on whole fields.
"""

from __future__ import annotations

from torch import nn

from autoencoder.layers import Fold, NormalisedActivation, Residual, Unfold

# Layers that compute each cell on its own, or contain the layers that count.
OF_ONE_CELL = (nn.Sequential, Residual, NormalisedActivation)


def reach_of(*networks: nn.Module, width: int = 1) -> int:
    """Radius of the input [grid cells] on which a cell of the last network's output depends.

    networks: applied one after the other
    width: of a cell of the first network's input [grid cells]

    The radius is counted from the edges of the coarsest cell around the output's. Raises
    `TypeError` for a layer without a known reach.
    """
    reach = 0
    for layer in (layer for network in networks for layer in network.modules()):
        match layer:
            case nn.Conv2d(stride=(1, 1)):
                reach += width * max(layer.kernel_size[0] // 2, layer.kernel_size[1] // 2)
            case nn.PixelUnshuffle():
                width *= layer.downscale_factor
            case nn.PixelShuffle():
                width //= layer.upscale_factor
            case Fold():
                width *= 2
            case Unfold():
                width //= 2
            case _ if not isinstance(layer, OF_ONE_CELL):
                raise TypeError(f"the reach of a layer {type(layer).__name__} is not known")
    return reach
