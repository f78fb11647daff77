"""FLOPs and memory of a call, counted on any device: on the meta device nothing is computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def counted(call: Callable[[], object]) -> tuple[float, float]:
    """GFLOP of a call, and the largest sum of tensors that it made and that exist at a time [MB].

    FLOPs are those of matrix products, convolutions and attention, 2 for each multiplication and
    addition.
    """
    with FlopCounterMode(display=False) as flops, LiveMemory() as memory, FlashAttention():
        call()
    return flops.get_total_flops() / 1e9, memory.peak / 1e6


class LiveMemory(TorchDispatchMode):
    """Follows the bytes of all tensors that are made within it and still exist, and their `peak`.

    On any device; what was there before does not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak, self._live, self._sizes = 0, 0, dict[int, int]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self._meet((args, kwargs), new=False)
        result = func(*args, **(kwargs or {}))
        self._meet(result, new=True)
        return result

    def _meet(self, tensors: object, *, new: bool) -> None:
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:  # else a view
                self._sizes[key] = storage.nbytes() if new else 0
                self._live += self._sizes[key]
                self.peak = max(self.peak, self._live)
                weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._live -= self._sizes.pop(key)


class FlashAttention(TorchFunctionMode):
    """On the meta device attention by the kernel that GPUs have, not by a matrix of all pairs."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is F.scaled_dot_product_attention and args[0].is_meta:
            return torch.ops.aten._scaled_dot_product_flash_attention(*args[:3])[0]
        return func(*args, **(kwargs or {}))
