"""Positions of cells on land, where a model's processors wrote nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def filled(values: NDArray[np.floating], axis: int) -> NDArray[np.floating]:
    """NaN replaced by the nearest earlier value along `axis`, else the next later one, then across.

    The cells are land, so a neighbour's position is good enough.
    """
    for along in (axis, 1 - axis):
        for step in (1, -1):
            turned = np.moveaxis(values, along, 0)[::step].copy()
            for row in range(1, len(turned)):
                turned[row] = np.where(np.isnan(turned[row]), turned[row - 1], turned[row])
            values = np.moveaxis(turned[::step], 0, along)
    return values
