"""Numbers that need single precision or better, whatever the precision of the networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class FullPrecision:
    """Mixin of a module that `half`, `to(torch.bfloat16)` and the like move, but never round.

    A class names it before `ModelMixin`. Means, depths and spreads in physical units need more than
    the 3 digits of bfloat16: a mean of 35 would be uncertain by 0.1.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        module: Any = super()
        return module._apply(lambda tensor: _not_rounded(fn(tensor), tensor), recurse)


def _not_rounded(changed: Tensor, original: Tensor) -> Tensor:
    rounded = changed.is_floating_point() and changed.itemsize < original.itemsize
    return original.to(changed.device) if rounded else changed


def single_or_better(x: Tensor) -> Tensor:
    """`x` in single precision; in double if it is."""
    return x.to(summing(x))


def summing(x: Tensor) -> torch.dtype:
    """The precision for sums over `x`: single, or double if `x` is."""
    return torch.promote_types(x.dtype, torch.float32)
