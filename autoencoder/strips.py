"""Strips of rows, the units in which a codec decodes.

Strips are small enough to stay in a processor's cache. The codec computes the part that needs all
latents once (`features`), selects each strip's input (`cut`) and decodes its rows (`decode_strip`).
Guidance differentiates one strip at a time, which limits its memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from data.grid import Padding

# Values of a state in a strip: 1 MB in float32, which fits in a processor's cache; on an
# accelerator, enough to occupy it (not measured).
STRIP_NUMBERS, ACCELERATOR_STRIP_NUMBERS = 2**18, 2**26


class Strip(NamedTuple):
    """Latent rows `first` to `last` - 1, and the corresponding rows of the ocean."""

    first: int
    last: int
    rows: slice


def strips_of_rows(
    padding: Padding, *, latent_rows: int, channels: int, device: torch.device
) -> list[Strip]:
    """The strips that cover the ocean.

    channels: total channels of the states decoded together
    device: the device of the decoder
    """
    padded_rows, columns = padding.padded_shape
    cells = padded_rows // latent_rows
    values = STRIP_NUMBERS if device.type in ("cpu", "meta") else ACCELERATOR_STRIP_NUMBERS
    size = max(1, values // (channels * columns * cells))
    spans = [(first, min(first + size, latent_rows)) for first in range(0, latent_rows, size)]
    strips = [
        Strip(first, last, padding.ocean_rows(first * cells, last * cells)) for first, last in spans
    ]
    return [strip for strip in strips if strip.rows.start < strip.rows.stop]
