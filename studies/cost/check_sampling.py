"""Ensembles of a check of several processes: their states, speed and memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from configs.run import Run
from data.archive.reader import StateArchive
from data.grid import wet_tensor
from data.state import State
from latent_diffusion.sample import draw
from studies.cost.chains import GUIDED, UNGUIDED
from studies.cost.meter import Meter
from studies.cost.training import matmul_gflops
from training.launch import launched_processes

REPEATS = 3  # timed batches
GATHERED = ("states_per_second", "matmul_gflops", "share_of_matmul_peak", "memory_MB")


def kinds_of(run: Run) -> dict[str, bool]:
    """Whether each kind of ensemble is guided."""
    return {UNGUIDED: False} | ({GUIDED: True} if run.settings.guidance.enabled else {})


def drawn(run: Run, *, folder: Path) -> dict[str, dict[str, Any]]:
    """Draw the ensembles with all processes; how they differ from those of one, by kind.

    folder: where the ensembles are; those of one process are drawn first. Empty in all processes
    but the first.
    """
    processes = launched_processes()
    result = {}
    for kind, guided in kinds_of(run).items():
        path = folder / f"{kind}-{processes.num_processes}.zarr"
        draw(run.ensemble(guided=guided), output=path)
        if processes.is_main_process:
            found, reference = (StateArchive.open(one) for one in (path, folder / f"{kind}-1.zarr"))
            wet = wet_tensor(found.grid)
            result[kind] = differences(_states(found), _states(reference), wet)
    return result


def _states(archive: StateArchive) -> State:
    return archive.read(range(len(archive)))


def differences(states: State, others: State, wet: Tensor) -> dict[str, Any]:
    """Whether states are bitwise the same, and how far they are apart in `wet` cells `z y x`.

    Temperature [K] and salinity [g/kg], whichever is larger: largest and root mean square.
    """
    apart = [
        (one.double() - other.double())[:, wet]
        for one, other in (
            (states.temperature, others.temperature),
            (states.salinity, others.salinity),
        )
    ]
    return {
        "states": len(states),
        "bitwise": torch.equal(states.to_channels(), others.to_channels()),
        "largest": max(float(field.abs().max()) for field in apart),
        "rms": max(float(field.square().mean().sqrt()) for field in apart),
    }


def sampling_cost(run: Run) -> dict[str, Any]:
    """Speed and memory of all processes while each of them draws a batch of its own."""
    processes = launched_processes()
    call, batch = _batch(run), run.settings.sampling.batch_size
    meter = Meter(REPEATS, str(processes.device))
    with FlopCounterMode(display=False) as counter:
        call()  # compiles the constraints, too
    gflop = counter.get_total_flops() / 1e9
    processes.wait_for_everyone()
    seconds = meter.median_seconds(call)
    memory = meter.peak_memory(call)
    processes.wait_for_everyone()
    peak = matmul_gflops(processes.device, precision=torch.float32)
    own = {
        "states_per_second": batch / seconds,
        "matmul_gflops": peak,
        "share_of_matmul_peak": gflop / seconds / peak,
        "memory_MB": memory,
    }
    every = gather_object([own])
    by_process = {name: [each[name] for each in every] for name in GATHERED}
    return by_process | {"gflop_per_state": gflop / batch, "batch_size": batch}


def _batch(run: Run) -> Callable[[], object]:
    """Draws this process's first batch of the ensemble, guided if the experiment guides."""
    processes, batch = launched_processes(), run.settings.sampling.batch_size
    ensemble = run.ensemble(guided=run.settings.guidance.enabled)
    pipeline = ensemble.pipeline().to(processes.device)
    guide = ensemble.guide(pipeline.codec) if ensemble.guide else None
    members = range(processes.process_index * batch, (processes.process_index + 1) * batch)
    conditions = ensemble.conditions.at(members) if ensemble.conditions else None

    def call() -> object:
        generators = [ensemble.generator(member) for member in members]
        return pipeline.draw(generators=generators, guide=guide, conditions=conditions)

    return call
