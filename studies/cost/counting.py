"""FLOPs and memory of a call, counted on any device, including the meta device."""

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
    """GFLOP of a call, and the peak memory of the tensors created by it [MB].

    FLOPs are those of matrix products, convolutions and attention, with 2 per multiply-add.
    Counting them keeps tensors alive that gradient checkpointing drops, so the call is made twice.
    Memory comes first: a second backward pass adds to the gradients that the first one left.
    """
    with LiveMemory() as memory, FlashAttention():
        call()
    with FlopCounterMode(display=False) as flops, FlashAttention():
        call()
    return flops.get_total_flops() / 1e9, memory.peak / 1e6


class LiveMemory(TorchDispatchMode):
    """Tracks the memory of live tensors created within this context, and its `peak` [bytes].

    Works on any device. Tensors from outside the context do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak, self._live, self._sizes = 0, 0, dict[int, int]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self._track((args, kwargs), new=False)
        result = func(*args, **(kwargs or {}))
        self._track(result, new=True)
        return result

    def _track(self, tensors: object, *, new: bool) -> None:
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:  # otherwise a view
                self._sizes[key] = storage.nbytes() if new else 0
                self._live += self._sizes[key]
                self.peak = max(self.peak, self._live)
                weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._live -= self._sizes.pop(key)


class FlashAttention(TorchFunctionMode):
    """Uses the flash-attention kernel on the meta device, as on GPUs, not the full matrix."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is F.scaled_dot_product_attention and args[0].is_meta:
            return torch.ops.aten._scaled_dot_product_flash_attention(*args[:3])[0]
        return func(*args, **(kwargs or {}))
