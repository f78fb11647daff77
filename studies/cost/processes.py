"""Throughput of training and sampling with several processes.

    halocline study cost processes CONFIG --processes 1 2 [--section.key value ...]

launches itself with each number of CPU processes by `accelerate launch`, with one thread or
`--threads` each. Without `--processes` it measures in the current processes, on CPUs or GPUs.
Networks are untrained, and the ocean is synthetic on the experiment's grid. In training, processes
share each batch and average their gradients. In sampling, each process generates its own batches;
the exact adjustment by the main process is excluded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from accelerate.utils import gather_object

import configs
from configs import Experiment
from data.errors import UserError
from evaluation.provenance import provenance
from latent_diffusion.noise import member_generator
from studies.cost.chains import GUIDED, chains_of
from studies.cost.meter import Meter, use_threads
from studies.cost.synthetic import SyntheticArchive
from studies.cost.systems import synthetic_archive
from studies.cost.training import training_cost
from training.launch import launched_processes
from training.log import print_json

LAUNCHER_FILE = Path(configs.__file__).parent / "accelerate" / "two_cpu_processes.yaml"
REPEATS = 3  # timed batches of sampling
STAGES = {
    "autoencoder": "autoencoder_samples_per_second",
    "diffusion": "diffusion_samples_per_second",
}
RATES = (*STAGES.values(), "states_per_second")


def measure(experiment: Experiment, *, steps: int) -> dict[str, float | str]:
    """Combined throughput of all current processes; equal in each process."""
    processes = launched_processes()
    archive = synthetic_archive(experiment, held_out=processes.num_processes)
    training = training_cost(experiment, archive, steps=steps)
    own = {
        name: float(training[stage]["samples_per_second"])
        for stage, name in STAGES.items()
        if stage in training
    }
    own["states_per_second"] = _states_per_second(experiment, archive)
    gathered = gather_object([own])
    return {
        "processes": float(processes.num_processes),
        "threads": float(torch.get_num_threads()),
        "device": processes.device.type,
        "batch_size": float(experiment.diffusion.training.batch_size),
        **{name: sum(each[name] for each in gathered) for name in own},
    }


def _states_per_second(experiment: Experiment, archive: SyntheticArchive) -> float:
    """Guided states per second of this process while all processes sample."""
    processes = launched_processes()
    chain = chains_of(experiment, archive, str(processes.device))[GUIDED]
    batch = experiment.sampling.batch_size

    def draw() -> object:
        generators = [member_generator(0, member) for member in range(batch)]
        return chain.pipeline.draw(generators=generators, steps=chain.steps, guide=chain.guide)

    draw()  # warm-up: compiles the constraints
    processes.wait_for_everyone()
    return batch / Meter(REPEATS, str(processes.device)).median_seconds(draw)


def launch_and_measure(
    experiment: Experiment, *, processes: int, threads: int, steps: int
) -> dict[str, Any]:
    """The result of `measure` with `processes` CPU processes; raises `UserError` if they fail."""
    with TemporaryDirectory() as folder:
        settings, result = Path(folder) / "experiment.yaml", Path(folder) / "result.json"
        settings.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
        launcher = ("accelerate.commands.launch", "--config_file", str(LAUNCHER_FILE))
        count = ("--num_processes", str(processes), "--main_process_port", "0")
        command = ("-m", "halocline", "study", "cost", "processes", str(settings))
        options = ("--steps", str(steps), "--output", str(result))
        environment = os.environ | {
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-m", *launcher, *count, *command, *options], env=environment
        )
        if done.returncode:
            raise UserError(f"the run with {processes} process(es) failed; see its messages above")
        return json.loads(result.read_text())


def rows_by_processes(
    experiment: Experiment, counts: Sequence[int], *, threads: int, steps: int
) -> dict[str, dict[str, float | str]]:
    """A row for each number of processes, with its rates relative to the first row."""
    rows: dict[str, dict[str, float | str]] = {}
    for processes in counts:
        row = launch_and_measure(experiment, processes=processes, threads=threads, steps=steps)
        first = next(iter(rows.values()), row)
        times = {f"{rate}_of_first": row[rate] / first[rate] for rate in RATES if rate in row}
        rows[f"{experiment.name}, {processes} of {threads} thread(s)"] = row | times
    return rows


def run(
    experiment: Experiment,
    *,
    processes: Sequence[int] = (),
    steps: int = 8,
    threads: int | None = None,
    output: Path | None = None,
) -> None:
    """Measure with each number of processes, default: the current, and print the result as JSON."""
    if processes:
        rows = rows_by_processes(experiment, processes, threads=threads or 1, steps=steps)
        origin = provenance(seeds={})
        print_json({"kind": "processes", "processes": rows, "provenance": origin}, output)
        return
    use_threads(threads)
    result = measure(experiment, steps=steps)
    if launched_processes().is_main_process:
        print_json(result, output)
