"""Strips of rows, in which a codec decodes.

A strip is so small that what its states need stays in a processor's cache. The codec computes what
needs all latents once (`features`), takes from it what a strip needs (`cut`) and makes the strip's
rows (`decode_strip`). Guidance takes the gradient of each strip on its own, which keeps its memory
small.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from data.grid import Padding

# Numbers of a state in a strip: 1 MB in float32, which stays in a processor's cache; on an
# accelerator what is large enough to fill it (not measured).
STRIP_NUMBERS, ACCELERATOR_STRIP_NUMBERS = 2**18, 2**26


class Strip(NamedTuple):
    """Latent rows `first` to `last` - 1, and the rows of the ocean that they decode to."""

    first: int
    last: int
    rows: slice


def strips_of_rows(
    padding: Padding, *, latent_rows: int, channels: int, device: torch.device
) -> list[Strip]:
    """Strips that make up the ocean.

    channels: of all the states that are decoded together
    device: on which they are decoded
    """
    padded_rows, columns = padding.padded_shape
    cells = padded_rows // latent_rows
    most = STRIP_NUMBERS if device.type in ("cpu", "meta") else ACCELERATOR_STRIP_NUMBERS
    size = max(1, most // (channels * columns * cells))
    spans = [(first, min(first + size, latent_rows)) for first in range(0, latent_rows, size)]
    strips = [
        Strip(first, last, padding.ocean_rows(first * cells, last * cells)) for first, last in spans
    ]
    return [strip for strip in strips if strip.rows.start < strip.rows.stop]
