"""Checks of files and states that readers, archives and writers share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError


def require(names: Sequence[str], found: Collection[object], *, path: Path, expected: str) -> None:
    """Raise UserError if a file lacks one of the variables `names`; expected: the kind of file."""
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}: expected {expected}; found "
            f"{', '.join(map(str, found)) or 'no variables'}."
        )


def check_finite(
    values: NDArray[np.floating], *, numbers: Sequence[int], path: object, name: str, advice: str
) -> None:
    """Raise UserError if the states `values` `b ...`, 0 on land, hold NaN or infinity.

    numbers: `b`, of the states in the message; path: of their file; name: of the variable
    """
    # NaN and infinity survive a sum, and one sum is cheaper than a mask of every cell.
    if np.isfinite(values.sum()):
        return
    bad = (~np.isfinite(values)).reshape(len(values), -1).sum(axis=1)
    row = int(np.argmax(bad > 0))
    if bad[row]:
        raise UserError(
            f"state {numbers[row]} of {path} has NaN in {bad[row]} wet cells of {name}: expected a "
            f"value in every wet cell; {advice}."
        )


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers in all tensors are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors)
