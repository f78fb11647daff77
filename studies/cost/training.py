"""Cost of training: samples per second, memory, and fraction of the peak rate of the machine.

    halocline study cost training configs/X.yaml [--grid 36x800x256] [--section.key value ...]

times training steps of both stages, including optimiser and averaged weights, with untrained
networks and random latents. The states are those of the experiment, or with `--grid` random states
on an all-wet grid.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch.utils.flop_counter import FlopCounterMode

from autoencoder.codec import Codec, VolumeCodec
from autoencoder.train import build_trainer as build_autoencoder_trainer
from configs import Experiment
from configs.run import Run
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from evaluation.provenance import provenance
from latent_diffusion.latents import LatentCache
from latent_diffusion.train import build_trainer as build_denoiser_trainer
from latent_diffusion.train import untrained_denoiser
from studies.cost.meter import Meter, use_threads
from studies.cost.synthetic import SyntheticArchive, parse_shape, synthetic_grid
from training.launch import build_accelerator
from training.log import write_json
from training.loop import Trainer

WARM_UP_STEPS = 2
MATRIX = 2048  # size of the square matrices whose product measures the peak rate
MATRIX_ON_GPU = 8192  # a smaller product takes hardly longer than its launch
PEAK_TRIALS = 5
POSTERIOR_STD = 0.05


def training_cost(
    experiment: Experiment, archive: Archive, *, steps: int
) -> dict[str, dict[str, float | str]]:
    """Cost of a training step of the autoencoder (unless it is the identity) and the denoiser."""
    with TemporaryDirectory() as folder:
        experiment = experiment.model_copy(update={"run_directory": Path(folder)})
        codec = Run(experiment).untrained_codec(archive)
        costs = {}
        if isinstance(codec, VolumeCodec):
            costs["autoencoder"] = _autoencoder_cost(experiment, codec, archive, steps=steps)
        costs["diffusion"] = _denoiser_cost(experiment, codec, steps=steps)
    return costs


def step_cost(trainer: Trainer, *, steps: int) -> dict[str, float | str]:
    """Median over `steps` steps after a warm-up, and the interquartile range of the rate.

    memory_MB: growth during one step beyond networks and optimiser; share_of_matmul_peak: rate of
    operations relative to a product of large matrices in the precision of the training
    """
    batch = next(iter(trainer.batches(0)))
    for _ in range(WARM_UP_STEPS):
        trainer.step(batch)
    meter = Meter(device=str(trainer.accelerator.device))
    durations = sorted(meter.seconds(lambda: trainer.step(batch)) for _ in range(steps))
    with FlopCounterMode(display=False) as counter:
        trainer.step(batch)
    gflop, seconds = counter.get_total_flops() / 1e9 / len(batch), median(durations)
    peak = _peak_of(trainer)
    fast, slow = durations[len(durations) // 4], durations[(3 * len(durations)) // 4]
    return {
        "precision": trainer.mixed_precision,
        "batch_size": len(batch),
        "samples_per_second": len(batch) / seconds,
        "samples_per_second_quartiles_apart": len(batch) / fast - len(batch) / slow,
        "memory_MB": meter.peak_memory_growth(lambda: trainer.step(batch)),
        "gflop_per_sample": gflop,
        "matmul_gflops": peak,
        "share_of_matmul_peak": gflop * len(batch) / seconds / peak,
    }


def matmul_gflops(device: torch.device, *, precision: torch.dtype) -> float:
    """Peak rate of a product of large matrices [GFLOP/s]."""
    size = MATRIX if device.type == "cpu" else MATRIX_ON_GPU
    a, b = torch.randn(2, size, size, device=device).to(precision)
    meter = Meter(device=str(device))
    meter.seconds(lambda: a @ b)
    return 2e-9 * size**3 / min(meter.seconds(lambda: a @ b) for _ in range(PEAK_TRIALS))


def _peak_of(trainer: Trainer) -> float:
    """Peak rate in the precision of the training [GFLOP/s]."""
    precision = torch.bfloat16 if trainer.mixed_precision == "bf16" else torch.float32
    return matmul_gflops(trainer.accelerator.device, precision=precision)


def _autoencoder_cost(
    experiment: Experiment, codec: VolumeCodec, archive: Archive, *, steps: int
) -> dict[str, float | str]:
    trainer = build_autoencoder_trainer(
        experiment.autoencoder,
        codec,
        archive=archive,
        accelerator=build_accelerator(experiment.run_directory),
        directory=experiment.run_directory,
        diffusion_stages=Run(experiment).stages_for(archive),
    )
    return step_cost(trainer, steps=steps)


def _denoiser_cost(experiment: Experiment, codec: Codec, *, steps: int) -> dict[str, float | str]:
    training = experiment.diffusion.training
    latents = torch.randn(training.batch_size, *codec.latent_shape)
    moments = torch.stack([latents, torch.full_like(latents, POSTERIOR_STD)], dim=1)
    trainer = build_denoiser_trainer(
        experiment.diffusion,
        codec,
        denoiser=untrained_denoiser(experiment.diffusion, codec),
        datasets={"train": LatentCache(moments), "validation": LatentCache(moments)},
        accelerator=build_accelerator(experiment.run_directory),
        directory=experiment.run_directory,
    )
    return step_cost(trainer, steps=steps)


def run(
    experiment: Experiment,
    *,
    grid: str | None = None,
    steps: int = 8,
    threads: int | None = None,
    output: Path | None = None,
) -> None:
    """Measure the training of an experiment and print the result as JSON."""
    use_threads(threads)
    archive = _archive(experiment, grid)
    result = {
        "grid": "x".join(map(str, archive.grid.shape)),
        "threads": torch.get_num_threads(),
        **training_cost(experiment, archive, steps=steps),
        "provenance": provenance(seeds={}),
    }
    print(json.dumps(result, indent=2))
    if output:
        _add(output, experiment.name, result)


def _archive(experiment: Experiment, grid: str | None) -> Archive:
    if grid is None:
        return StateArchive.open(experiment.data.stored)
    samples = experiment.autoencoder.training.batch_size
    return SyntheticArchive(
        synthetic_grid(*parse_shape(grid), periodic_x=True),
        has_sea_level=False,
        samples=max(samples, 2) + 1,
    )


def _add(path: Path, name: str, result: dict[str, object]) -> None:
    """Add the result to those of other experiments and grids in a JSON file."""
    content = json.loads(path.read_text()) if path.is_file() else {"trainings": {}}
    content["trainings"][f"{name} {result['grid']}"] = result
    write_json(path, content | {"kind": "training_cost", "provenance": result["provenance"]})
