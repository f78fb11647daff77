"""The points of a study of terms: a codec, a denoiser and its samples, each made once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from autoencoder.codec import VolumeCodec
from autoencoder.fitting import standardise_latents
from configs.run import Run
from data.archive.reader import StateArchive
from data.batches import Samples, read_in_batches
from data.state import State
from latent_diffusion.latents import latent_datasets
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.settings import SamplingSettings
from studies.terms.censored import BoundedCodec
from studies.terms.metrics import coldest
from studies.terms.settings import CensoredSettings, Point, TermsStudy, Variant
from studies.terms.training import (
    TimedTrainer,
    codec_trainer,
    denoiser_trainer,
    samples_in_equal_time,
    step_seconds,
    untrained_pipeline,
)
from training.launch import build_accelerator, launched_processes
from training.log import write_json
from training.records import Record
from training.stage import Stage

StageName = Literal["autoencoder", "diffusion"]
STAGES: tuple[StageName, ...] = ("autoencoder", "diffusion")
TERM_OF: dict[StageName, Literal["censored", "residual"]] = {
    "autoencoder": "censored",
    "diffusion": "residual",
}
TRAINING, STATES = "training.json", "states.safetensors"
BATCH = 16  # states encoded at a time


class Points:
    """Makes the points of a study, or finds them made.

    A point's folder has the generated states and the training's samples and seconds. Points of one
    seed without a term of the autoencoder share the baseline's codec.
    """

    def __init__(self, study: TermsStudy) -> None:
        self.study = study

    @cached_property
    def archive(self) -> StateArchive:
        """The state archive of the base experiment."""
        return Run(self.study.base).archive

    @cached_property
    def bound(self) -> float:
        """The lowest temperature of the training states [degC]."""
        return coldest(self.archive.read(self.archive.indices("train")), self.archive.grid)

    def is_made(self, point: Point) -> bool:
        """Whether the point's states were generated with these settings."""
        return self._stage(point).is_done

    def has_own_codec(self, point: Point) -> bool:
        """Whether the point has a codec of its own, which later points of the seed may share."""
        return bool(self._variant(point).censored) or point.variant == self.study.baseline

    def record(self, point: Point) -> Record:
        """The settings that determine a point's states."""
        sampling = self.study.run(seed=point.seed, autoencoder=1, diffusion=1).settings.sampling
        return self._codec_record(point) | {
            "diffusion": self.study.base.diffusion.record,
            "sampling": sampling.model_dump(mode="json", exclude={"batch_size"}),
            "terms": self._variant(point).model_dump(mode="json"),
        }

    def states(self, point: Point) -> State:
        """The generated states of a point that is made."""
        channels = load_file(self._stage(point).product / STATES)["states"]
        return State.from_channels(channels, levels=self.archive.grid.shape[0])

    def training(self, point: Point) -> dict[str, dict[str, float]]:
        """Samples and seconds of the trainings of a point that is made, by stage."""
        owners = {"autoencoder": self._codec_stage(point), "diffusion": self._stage(point)}
        return {
            name: json.loads((stage.product / TRAINING).read_text())
            for name, stage in owners.items()
        }

    def calibration(self, name: StageName, variant: str) -> dict[str, Any]:
        """Seconds of a step of baseline and variant in a stage, and the variant's samples.

        Measured once for each variant; the baseline's samples are those of the study.
        """
        path = self.study.directory / "calibration" / f"{name}-{variant}.json"
        record = self._record(name) | {"terms": self.study.variants[variant].model_dump()}
        known = json.loads(path.read_text()) if path.is_file() else {}
        if known.get("record") != json.loads(json.dumps(record)):
            known = {"record": record, **self._measured(name, variant)}
            write_json(path, known)
        return {key: value for key, value in known.items() if key != "record"}

    def make(self, point: Point) -> None:
        """Train a point and generate its states, unless that is done."""
        stage = self._stage(point)
        if stage.is_done:
            return
        codec = self.codec(point)
        run = self._run(point)
        pipeline, datasets = self._untrained(run, point, codec)
        with TemporaryDirectory() as folder:
            trainer = self._denoiser_trainer(run, point, pipeline, datasets, Path(folder))
            trainer.run()
        trainer.adopt_averaged_weights()
        pipeline.unet.eval()
        states = draw(pipeline.to(launched_processes().device), run.settings.sampling)

        def write(folder: Path) -> None:
            save_file({"states": states.to_channels().contiguous()}, folder / STATES)
            write_json(folder / TRAINING, _cost(trainer))

        stage.publish(write)

    def codec(self, point: Point) -> VolumeCodec:
        """The codec of a point, trained unless that is done."""
        stage = self._codec_stage(point)
        if not stage.is_done:
            self._train_codec(point, stage)
        kind = BoundedCodec if self._variant(point).censored else VolumeCodec
        codec: VolumeCodec = kind.from_pretrained(stage.product)
        return codec.eval()

    def _train_codec(self, point: Point, stage: Stage) -> None:
        run, term = self._run(point), self._variant(point).censored
        codec = self._untrained_codec(run, term)
        with TemporaryDirectory() as folder:
            trainer = _codec_trainer(run, codec, term, Path(folder))
            trainer.run()
        trainer.adopt_averaged_weights()
        standardise_latents(codec.cpu().eval(), self._training_states())

        def write(folder: Path) -> None:
            codec.save_pretrained(folder)
            write_json(folder / TRAINING, _cost(trainer))

        stage.publish(write)

    def _measured(self, name: StageName, variant: str) -> dict[str, Any]:
        """The calibration of a variant in a stage, measured now."""
        settings, baseline = self.study.settings, self.study.baseline
        term = getattr(self.study.variants[variant], TERM_OF[name])
        samples = getattr(settings.samples, name)
        if term is None:
            return {"samples": samples}
        with TemporaryDirectory() as folder:
            seconds = step_seconds(self._both_trainers(name, variant, Path(folder)))
        batch_size = getattr(self.study.base, name).training.batch_size
        given = samples_in_equal_time(
            seconds, baseline=baseline, samples=samples, batch_size=batch_size
        )
        return {"seconds_per_step": seconds, "samples": given[variant]}

    def _both_trainers(
        self, name: StageName, variant: str, folder: Path
    ) -> dict[str, TimedTrainer]:
        """Trainers of the baseline and of a variant with the first seed, for a few steps."""
        samples, seed = self.study.settings.samples, self.study.settings.seeds[0]
        run = self.study.run(
            seed=seed, autoencoder=samples.autoencoder, diffusion=samples.diffusion
        )
        points = {key: Point(key, seed) for key in (self.study.baseline, variant)}
        if name == "diffusion":
            codec = self.codec(points[self.study.baseline])
            return {
                key: self._denoiser_trainer(
                    run, point, *self._untrained(run, points[self.study.baseline], codec), folder
                )
                for key, point in points.items()
            }
        terms = {key: self._variant(point).censored for key, point in points.items()}
        return {
            key: _codec_trainer(run, self._untrained_codec(run, term), term, folder)
            for key, term in terms.items()
        }

    def _untrained_codec(self, run: Run, term: CensoredSettings | None) -> VolumeCodec:
        codec = run.untrained_codec(self.archive)
        assert isinstance(codec, VolumeCodec), "the study refuses the identity"
        if term is None:
            return codec
        return BoundedCodec.around(codec, bound=self.bound, softness=term.softness)

    def _untrained(
        self, run: Run, point: Point, codec: VolumeCodec
    ) -> tuple[StatePipeline, dict[str, Samples]]:
        """An untrained model around the codec of a point, and its latents by split."""
        path = self._codec_stage(point).product / "latents.safetensors"
        datasets = latent_datasets(codec, self.archive, path=path)
        return untrained_pipeline(run, codec, datasets=datasets), datasets

    def _denoiser_trainer(
        self,
        run: Run,
        point: Point,
        pipeline: StatePipeline,
        datasets: dict[str, Samples],
        directory: Path,
    ) -> TimedTrainer:
        return denoiser_trainer(
            run,
            pipeline,
            self._variant(point).residual,
            datasets=datasets,
            accelerator=build_accelerator(directory),
            directory=directory,
        )

    def _training_states(self) -> Iterator[State]:
        return read_in_batches(self.archive, self.archive.indices("train"), at_once=BATCH)

    def _variant(self, point: Point) -> Variant:
        return self.study.variants[point.variant]

    def _run(self, point: Point) -> Run:
        """The experiment with the seed of a point, and the samples of its variant."""
        autoencoder, diffusion = (
            self.calibration(name, point.variant)["samples"] for name in STAGES
        )
        return self.study.run(seed=point.seed, autoencoder=autoencoder, diffusion=diffusion)

    def _stage(self, point: Point) -> Stage:
        folder = self.study.directory / "points"
        return Stage(folder, product=folder / point.name, record=self.record(point))

    def _codec_stage(self, point: Point) -> Stage:
        folder = self.study.directory / "codecs"
        owner = point if self._variant(point).censored else Point(self.study.baseline, point.seed)
        return Stage(folder, product=folder / owner.name, record=self._codec_record(owner))

    def _codec_record(self, point: Point) -> Record:
        censored = self._variant(point).censored
        return self._record("autoencoder") | {
            "seed": point.seed,
            "censored": censored.model_dump() if censored else None,
        }

    def _record(self, name: StageName) -> Record:
        """What determines the baseline of a stage, seeds apart."""
        base = self.study.base
        record: Record = {
            "archive": self.archive.digest,
            "autoencoder": base.autoencoder.record,
            "diffusion_stages": Run(base).stages_for(self.archive),
            "samples": self.study.settings.samples.model_dump(),
        }
        return record if name == "autoencoder" else record | {"diffusion": base.diffusion.record}


@torch.no_grad()
def draw(pipeline: StatePipeline, settings: SamplingSettings) -> State:
    """Unguided states, without adjustment."""
    generators = [member_generator(settings.seed, member) for member in range(settings.members)]
    starts = range(0, settings.members, settings.batch_size)
    parts = (
        pipeline.draw(generators=generators[start : start + settings.batch_size]).state
        for start in starts
    )
    return State.cat([part.map(lambda field: field.cpu()) for part in parts])


def _codec_trainer(
    run: Run, codec: VolumeCodec, term: CensoredSettings | None, directory: Path
) -> TimedTrainer:
    accelerator = build_accelerator(directory)
    return codec_trainer(run, codec, term, accelerator=accelerator, directory=directory)


def _cost(trainer: TimedTrainer) -> dict[str, float]:
    return {
        "samples": trainer.counter,
        "wall_seconds": trainer.seconds.wall,
        "processor_seconds": trainer.seconds.processor,
    }
