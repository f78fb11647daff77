"""Measures wall time, memory growth and operations of calls on a CPU or GPU."""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # of malloc.h


@dataclass(frozen=True)
class Meter:
    """Measures calls on `device`, with `repeats` timed calls after a warm-up."""

    repeats: int = 3
    device: str = "cpu"

    def cost(self, call: Callable[[], object], *, gradient: bool = False) -> dict[str, float]:
        """Median seconds, peak memory growth [MB] and GFLOPs of `call`."""
        with torch.set_grad_enabled(gradient):
            with FlopCounterMode(display=False) as counter:
                call()
            seconds = median(self.seconds(call) for _ in range(self.repeats))
            memory = self.peak_memory_growth(call)
        return {"seconds": seconds, "memory_MB": memory, "gflops": counter.get_total_flops() / 1e9}

    def peak_memory_growth(self, call: Callable[[], object]) -> float:
        """Growth of memory to its peak during `call` [MB], NaN if unavailable.

        On a CPU this is the resident memory of the process, whose peak Linux allows to reset; freed
        memory is first returned to the system. On a GPU it is the memory allocated by torch.
        """
        before, peak = self._memory_around(call)
        return max(peak - before, 0.0)

    def peak_memory(self, call: Callable[[], object]) -> float:
        """Peak memory during `call` [MB], with what is there before it; NaN if unavailable."""
        return self._memory_around(call)[1]

    def _memory_around(self, call: Callable[[], object]) -> tuple[float, float]:
        """Memory before `call` and its peak during it [MB]; NaN if unavailable."""
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
            allocated = torch.cuda.memory_allocated(self.device)
            call()
            return allocated / 1e6, torch.cuda.max_memory_allocated(self.device) / 1e6
        available = _reset_peak()
        before = resident("VmRSS") if available else float("nan")
        call()
        return before, resident("VmHWM") if available else float("nan")

    @property
    def _on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def seconds(self, call: Callable[[], object]) -> float:
        """Wall time of one call [s]."""
        self._synchronise()
        start = time.perf_counter()
        call()
        self._synchronise()
        return time.perf_counter() - start

    def median_seconds(self, call: Callable[[], object]) -> float:
        """Median wall time of `repeats` calls [s], without a warm-up."""
        return median(self.seconds(call) for _ in range(self.repeats))

    def _synchronise(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize(self.device)


PLAIN_METER = Meter()


def use_threads(threads: int | None) -> None:
    """Set the number of torch threads; None keeps the default."""
    if threads:
        torch.set_num_threads(threads)


def free_at_once() -> None:
    """Let this process give back to the system what it frees, where the C library is glibc's.

    Otherwise its resident memory counts what the allocator keeps, too: up to 120 MB more, which
    differs between runs. Costs some time.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, 2**18)  # bytes; what is larger is a mapping of its own


def _reset_peak() -> bool:
    """Reset the peak of resident memory to its current value; returns False if unsupported."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def resident(entry: str) -> float:
    """`VmRSS` (now) or `VmHWM` (peak) of this process [MB]; NaN if unavailable."""
    status = Path("/proc/self/status")
    text = status.read_text() if status.exists() else ""
    found = re.search(rf"^{entry}:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * float(found[1]) / 1e6 if found else float("nan")
