"""Layout of arrays in Veros: x first, levels from the sea floor up, ghost cells on each side."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from data.errors import UserError

GHOSTS = 2
INTERIOR = (slice(GHOSTS, -GHOSTS), slice(GHOSTS, -GHOSTS))


def upright(interior: NDArray[Any]) -> NDArray[Any]:
    """Veros' order, `x y z` from the sea floor, to `z y x` from the surface; and `x y` to `y x`."""
    return interior.transpose(2, 1, 0)[::-1] if interior.ndim == 3 else interior.T


def h5py() -> ModuleType:
    """The package h5py, which reads restarts of Veros. Raises UserError if it is missing."""
    try:
        import h5py as module
    except ImportError as error:
        raise UserError("Veros' restarts need h5py: pip install '.[basin]'.") from error
    return module
