"""How Veros lays out its arrays: x first, levels from the sea floor up, two ghost cells a side."""

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
    """The package that reads Veros' restarts. Raises UserError where it is not installed."""
    try:
        import h5py as module
    except ImportError as error:
        raise UserError("Veros' restarts need h5py: pip install '.[basin]'.") from error
    return module
