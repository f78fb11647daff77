"""The accelerator of a training stage, and the fast precision of its device."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    ProjectConfiguration,
    parse_flag_from_env,
)

PATIENCE = timedelta(
    hours=12
)  # one process encodes all latents or adjusts all samples; the others wait


def launched_processes() -> PartialState:
    """The processes launched together with this one.

    Without a GPU they compute on the CPU. This must be explicit: by default accelerate treats each
    of several CPU processes as the only one.
    """
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=on_cpu, timeout=PATIENCE)


def build_accelerator(directory: Path, *, precision: str) -> Accelerator:
    """An accelerator that logs to TensorBoard files under `directory`.

    precision: "auto" is bf16 if the device computes it in hardware, else fp32; or "fp32" or "bf16"
    """
    launched_processes()  # sets the state that the accelerator uses
    # accelerate keeps the first precision of a process, but each stage has its own.
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
