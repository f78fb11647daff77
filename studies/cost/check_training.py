"""Trainings of a check of several processes: their weights, speed and memory.

The reference of N processes is one process that computes the shares of all N in turn
(`Trainer.step_of_processes`): the weights of both then differ by rounding only. Those of an
ordinary training in one process differ by more, because the noise depends on the number of
processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch import Tensor

from autoencoder.codec import VolumeCodec
from autoencoder.train import build_trainer as build_autoencoder_trainer
from configs.run import Run
from data.batches import Samples
from latent_diffusion.latents import latent_datasets
from latent_diffusion.residuals import conditional_data
from latent_diffusion.train import build_trainer as build_denoiser_trainer
from latent_diffusion.train import initial_denoiser
from studies.cost.meter import Meter
from studies.cost.training import WARM_UP_STEPS, step_cost
from training.launch import build_accelerator, launched_processes
from training.loop import Trainer

AUTOENCODER, DIFFUSION = "autoencoder", "diffusion"
GATHERED = ("samples_per_second", "matmul_gflops", "share_of_matmul_peak", "memory_MB")
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Trainings:
    """The trainings of one stage of a run, in the current processes.

    build: a trainer at its start, for a batch so many times as large as configured
    folder: where one process leaves the weights that others are compared with
    """

    stage: str
    build: Callable[[int], Trainer]
    folder: Path

    def measured(self, *, counts: Sequence[int], steps: int) -> dict[str, Any]:
        """Weights, speed and memory of all processes together, ready for JSON.

        counts: numbers of processes that one process leaves weights for; steps: to be timed
        """
        processes = launched_processes().num_processes
        trainer = self.build(1)
        start = weights_of(trainer)
        seconds = list(_trained(trainer))
        weights = weights_of(trainer)
        if processes == 1:
            self._leave(start, weights, counts=counts)
        result: dict[str, Any] = {
            "samples": trainer.counter,
            "batch_size": trainer.plan.batch_size,
            "precision": trainer.mixed_precision,
            "samples_per_second_of_shared_batch": trainer.plan.batch_size / median(seconds),
            "same_in_all_processes": len({*gather_object([digest(weights)])}) == 1,
            "difference_from_replay": self._difference(weights, f"replay-{processes}"),
            "difference_from_one_process": self._difference(weights, "trained"),
        }
        return result | self._cost(processes, steps=steps)

    def _leave(self, start: Weights, weights: Weights, *, counts: Sequence[int]) -> None:
        """Save what trainings with several processes, and the same one again, are compared with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_file(start, self._file("start"))
        save_file(weights, self._file("trained"))
        for count in counts:
            save_file(replayed(self.build(1), count), self._file(f"replay-{count}"))

    def _difference(self, weights: Weights, name: str) -> float:
        start, reference = load_file(self._file("start")), load_file(self._file(name))
        return difference(weights, reference, start=start)

    def _file(self, name: str) -> Path:
        return self.folder / f"{self.stage}-{name}.safetensors"

    def _cost(self, processes: int, *, steps: int) -> dict[str, Any]:
        """Cost of steps in which each process computes a batch as large as configured."""
        trainer = self.build(processes)
        launched_processes().wait_for_everyone()
        cost = step_cost(trainer, steps=steps)
        batch = next(iter(trainer.batches(0)))
        meter = Meter(device=str(trainer.accelerator.device))
        cost["memory_MB"] = meter.peak_memory(lambda: trainer.step(batch))
        every = gather_object([{name: cost[name] for name in GATHERED}])
        by_process = {name: [each[name] for each in every] for name in GATHERED}
        return by_process | {"gflop_per_sample": cost["gflop_per_sample"]}


def trainings_of(run: Run, *, folder: Path, directory: Path) -> Iterator[Trainings]:
    """The trainings of both stages, or of the denoiser alone if the codec is the identity.

    folder: of the weights to be compared; directory: for logs, of which there are none
    """
    if isinstance(run.codec(), VolumeCodec):
        yield Trainings(
            AUTOENCODER, lambda times: _autoencoder(larger(run, times), directory), folder
        )
    yield Trainings(DIFFUSION, lambda times: _denoiser(larger(run, times), directory), folder)


def larger(run: Run, times: int) -> Run:
    """The run with training batches so many times as large."""
    changes = {}
    for name in (AUTOENCODER, DIFFUSION):
        stage = getattr(run.settings, name)
        size = {"batch_size": times * stage.training.batch_size}
        changes[name] = stage.model_copy(
            update={"training": stage.training.model_copy(update=size)}
        )
    return run.with_settings(**changes)


def _autoencoder(run: Run, directory: Path) -> Trainer:
    settings, codec = run.settings.autoencoder, run.codec()
    assert isinstance(codec, VolumeCodec), "the identity is not trained"
    return build_autoencoder_trainer(
        settings,
        codec,
        archive=run.archive,
        accelerator=build_accelerator(directory),
        directory=directory,
        diffusion_stages=run.stages_for(run.archive),
    )


def _denoiser(run: Run, directory: Path) -> Trainer:
    """As in the diffusion stage, of the latents that the reference model was trained on."""
    settings, conditions, codec = run.settings.diffusion, run.settings.conditions, run.codec()
    datasets: dict[str, Samples] = latent_datasets(
        codec, run.archive, path=run.denoiser_stage.directory / "latents.safetensors"
    )
    conditional = (
        conditional_data(datasets, run.archive, conditions, weight=codec.latent_weight)
        if conditions
        else None
    )
    return build_denoiser_trainer(
        settings,
        codec,
        denoiser=initial_denoiser(settings, codec, run.archive, datasets["train"], conditional),
        datasets=conditional.samples if conditional else datasets,
        accelerator=build_accelerator(directory),
        directory=directory,
        conditions=conditions,
    )


def _trained(trainer: Trainer) -> Iterator[float]:
    """Seconds of each step of a training to the end of its plan, without those of warm-up."""
    meter = Meter(device=str(trainer.accelerator.device))
    steps = -(-trainer.plan.samples // trainer.plan.batch_size)
    for number, batch in zip(range(steps), trainer.batches(0), strict=False):
        seconds = meter.seconds(lambda batch=batch: trainer.step(batch))  # type: ignore[misc]
        if number >= min(WARM_UP_STEPS, steps - 1):
            yield seconds


def replayed(trainer: Trainer, count: int) -> Weights:
    """Weights of a training of `count` processes, computed by this one alone."""
    steps = -(-trainer.plan.samples // trainer.plan.batch_size)
    for _, batch in zip(range(steps), trainer.batches(0), strict=False):
        trainer.step_of_processes(shares_of(batch, count))
    return weights_of(trainer)


def shares_of(batch: Any, count: int) -> list[Any]:
    """The shares of `count` processes of a batch, a tensor or a named tuple of tensors."""
    if isinstance(batch, Tensor):
        return list(batch.chunk(count))
    return [
        type(batch)(*parts) for parts in zip(*(shares_of(x, count) for x in batch), strict=True)
    ]


def weights_of(trainer: Trainer) -> Weights:
    """A copy of the trained parameters by name, on the CPU."""
    network = trainer.accelerator.unwrap_model(trainer.objective)
    return {
        name: parameter.detach().cpu().clone().contiguous()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }


def digest(weights: Weights) -> str:
    """A digest of all bits of the weights."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def difference(weights: Weights, reference: Weights, *, start: Weights) -> float:
    """Distance of weights from those of the reference, relative to how far these came.

    0 if they are bitwise the same.
    """
    if digest(weights) == digest(reference):
        return 0.0
    return _distance(weights, reference) / max(_distance(reference, start), 1e-30)


def _distance(one: Weights, other: Weights) -> float:
    squares = [(one[name].double() - other[name].double()).square().sum() for name in other]
    return float(torch.stack(squares).sum().sqrt())
