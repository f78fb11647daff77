"""The accelerator of a training stage, and the precision that its device is good at."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration


def build_accelerator(directory: Path, *, precision: str) -> Accelerator:
    """An accelerator that logs to TensorBoard files under `directory`.

    precision: "auto" takes bf16 where the device computes it in hardware; "fp32"; "bf16"
    """
    # accelerate holds a process to its first precision, but each stage has its own.
    AcceleratorState._reset_state()
    mixed = {"auto": "bf16" if has_fast_bf16() else "no", "fp32": "no", "bf16": "bf16"}[precision]
    return Accelerator(
        mixed_precision=mixed,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(directory), logging_dir=str(directory)),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def has_fast_bf16() -> bool:
    """Whether this device multiplies bf16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_amx_tile_supported())
