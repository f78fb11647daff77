"""Short trainings with a term, and how many samples each manages in the baseline's time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from autoencoder import train as autoencoder_train
from autoencoder.codec import VolumeCodec
from autoencoder.objective import AutoencoderObjective
from configs.run import Run
from data.batches import Samples
from latent_diffusion import train as diffusion_train
from latent_diffusion.denoiser import Denoiser
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.objective import DenoisingObjective
from latent_diffusion.pipeline import StatePipeline
from studies.terms.censored import BoundedCodec, CensoredObjective
from studies.terms.residual import ResidualObjective, stability_residual
from studies.terms.settings import CensoredSettings, ResidualSettings
from training.loop import Trainer

WARM_UP_STEPS = 2
TIMED_STEPS = 8


class Seconds(NamedTuple):
    """Time of training steps [s], without reading and validation."""

    wall: float
    processor: float


class TimedTrainer(Trainer):
    """A trainer that notes the time of its steps."""

    seconds = Seconds(0.0, 0.0)

    def step(self, batch: Any) -> dict[str, Tensor]:
        """As `Trainer.step`."""
        before = _now()
        losses = super().step(batch)
        after = _now()
        self.seconds = Seconds(
            *(total + b - a for total, a, b in zip(self.seconds, before, after, strict=True))
        )
        return losses


def codec_trainer(
    run: Run,
    codec: VolumeCodec,
    term: CensoredSettings | None,
    *,
    accelerator: Accelerator,
    directory: Path,
) -> TimedTrainer:
    """The trainer of an autoencoder; with a term its codec is a `BoundedCodec`."""
    archive, settings = run.archive, run.settings.autoencoder
    options = autoencoder_train.objective_options(settings, archive)
    if term is not None:
        assert isinstance(codec, BoundedCodec), "the term needs a bound"
        objective: AutoencoderObjective = CensoredObjective(codec, settings=term, **options)
    else:
        objective = AutoencoderObjective(codec, **options)
    training, validation = autoencoder_train.state_datasets(archive)
    return TimedTrainer(
        objective,
        plan=settings.training,
        training=training,
        validation=validation,
        accelerator=accelerator,
        directory=directory,
        label="autoencoder",
        identity={},
    )


def denoiser_trainer(
    run: Run,
    pipeline: StatePipeline,
    term: ResidualSettings | None,
    *,
    datasets: Mapping[str, Samples],
    accelerator: Accelerator,
    directory: Path,
) -> TimedTrainer:
    """The trainer of the denoiser of an untrained pipeline."""
    codec, settings = pipeline.codec, run.settings.diffusion
    options = diffusion_train.objective_options(settings, codec)
    # It trains the pipeline's network: both hold the same one.
    denoiser = Denoiser(pipeline.unet, pipeline.gaussian, codec.static_maps)
    if term is not None:
        codec.to(accelerator.device).requires_grad_(False)
        objective: DenoisingObjective = ResidualObjective(
            denoiser, residual=stability_residual(codec), settings=term, **options
        )
    else:
        objective = DenoisingObjective(denoiser, **options)
    return TimedTrainer(
        objective,
        plan=settings.training,
        training=datasets["train"],
        validation=datasets["validation"],
        accelerator=accelerator,
        directory=directory,
        label="diffusion",
        identity={},
    )


def untrained_pipeline(
    run: Run, codec: VolumeCodec, *, datasets: Mapping[str, Samples]
) -> StatePipeline:
    """The model of a trained codec with an untrained network around its closed form."""
    archive, settings = run.archive, run.settings.diffusion
    gaussian = MemberGaussians.of(
        datasets["train"], archive.member[archive.indices("train")], patterns=settings.patterns
    )
    unet = diffusion_train.build_network(settings, codec)
    steps = run.settings.sampling.steps
    pipeline = StatePipeline(unet, gaussian, run.scheduler(), codec, steps=steps)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def step_seconds(trainers: Mapping[str, TimedTrainer]) -> dict[str, float]:
    """Wall-clock time of a training step of each trainer [s], median over a few steps.

    They take turns, with the same samples and the same noise, so other load on the machine slows
    all of them alike.
    """
    batches = {name: trainer.batches(0) for name, trainer in trainers.items()}
    durations: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(WARM_UP_STEPS + TIMED_STEPS):
        for name, trainer in trainers.items():
            before = trainer.seconds.wall
            trainer.step(next(batches[name]))
            durations[name].append(trainer.seconds.wall - before)
    return {name: median(times[WARM_UP_STEPS:]) for name, times in durations.items()}


def samples_in_equal_time(
    seconds: Mapping[str, float], *, baseline: str, samples: int, batch_size: int
) -> dict[str, int]:
    """Training samples of each variant in the time of `samples` of the baseline, whole batches.

    seconds: of a step of each; no variant gets more than the baseline, which a term only delays
    """
    batches = {
        name: int(samples / batch_size * seconds[baseline] / each) for name, each in seconds.items()
    }
    return {
        name: min(max(1, count) * batch_size, samples) if name != baseline else samples
        for name, count in batches.items()
    }


def _now() -> Seconds:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Seconds(time.perf_counter(), time.process_time())
