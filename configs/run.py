"""A run: an experiment with its run directory, and how its products are opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path

from diffusers import SchedulerMixin, UNet2DModel

from autoencoder.codec import Codec
from autoencoder.train import build_codec, load_codec
from configs.loading import load_experiment
from configs.schema import Experiment
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from data.errors import UserError
from guidance.build import build_guide
from guidance.climatology import (
    CLIMATOLOGY,
    Climatology,
    saved_climatology,
    training_climatology,
)
from guidance.guide import SteeringGuide
from latent_diffusion.pipeline import StatePipeline, ocean_of
from latent_diffusion.release import Release
from latent_diffusion.sample import Ensemble, sampling_record, weights_digest
from latent_diffusion.schedulers import build_schedule, build_scheduler
from training.stage import Record, Stage, differing_settings


class Run:
    """An experiment on disk: where its products are, what they depend on, and their opening.

    settings: the experiment
    """

    def __init__(self, settings: Experiment) -> None:
        self.settings = settings

    def with_settings(self, **changes: object) -> Run:
        """The same run with some sections of its settings replaced."""
        return Run(self.settings.model_copy(update=changes))

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self.settings.run_directory

    @cached_property
    def archive(self) -> StateArchive:
        """The state archive that the experiment learns from."""
        return StateArchive.open(self.settings.data.archive)

    @property
    def diffusion_stages(self) -> int:
        """Stages of the denoiser: the latent grid is halved between two of them."""
        return len(self.settings.diffusion.channels)

    @property
    def codec_stage(self) -> Stage:
        """The training of the codec."""
        record = {"archive": self.archive.digest} | self.codec_settings
        return Stage(self.codec_folder.parent, product=self.codec_folder, record=record)

    @property
    def denoiser_stage(self) -> Stage:
        """The training of the denoiser."""
        record = {"archive": self.archive.digest} | self.model_settings
        return Stage(self.directory / "diffusion", product=self.model_folder, record=record)

    @property
    def distillation_stage(self) -> Stage:
        """The training of a denoiser of few steps."""
        record = self.model_settings | {"teacher": self.teacher.weights}
        return Stage(self.directory / "distillation", product=self.model_folder, record=record)

    @property
    def codec_folder(self) -> Path:
        """Where the trained codec is."""
        return self.directory / "autoencoder" / "codec"

    @property
    def model_folder(self) -> Path:
        """Where the trained model is."""
        return self.directory / "model"

    @property
    def weights(self) -> str | None:
        """Digest of the trained denoiser; None where there is none."""
        return weights_digest(self.model_folder)

    @property
    def codec_settings(self) -> Record:
        """The settings that the codec depends on."""
        return {
            "autoencoder": self.settings.autoencoder.model_dump(mode="json"),
            "diffusion_stages": self.diffusion_stages,
        }

    @property
    def model_settings(self) -> Record:
        """The settings of codec and denoiser, without the data that they were trained on."""
        settings = self.codec_settings | {
            "diffusion": self.settings.diffusion.model_dump(mode="json")
        }
        if self.settings.distillation is None:
            return settings
        sampling = self.settings.sampling.model_dump(
            mode="json", include={"steps", "scheduler", "scheduler_options"}
        )
        distillation = self.settings.distillation.model_dump(mode="json", exclude={"teacher"})
        return settings | {"distillation": distillation | {"sampling": sampling}}

    @property
    def teacher(self) -> Run:
        """The run that the experiment's denoiser is distilled from, with its chains' sampler.

        Raises `UserError` for an experiment that is not distilled.
        """
        settings = self.settings.distillation
        if settings is None:
            raise UserError(
                "the configuration has no section distillation; see "
                "configs/few_steps/quickstart.yaml"
            )
        return self.with_settings(
            run_directory=settings.teacher,
            distillation=None,
            sampling=settings.teacher_sampling(self.settings.sampling),
        )

    def untrained_codec(self, archive: Archive) -> Codec:
        """A codec of this design that knows grid and statistics of an archive's training states."""
        return build_codec(
            self.settings.autoencoder, archive, diffusion_stages=self.diffusion_stages
        )

    def codec(self) -> Codec:
        """The trained codec. Raises `UserError` if there is none."""
        return load_codec(self.codec_folder)

    def scheduler(self) -> SchedulerMixin:
        """The sampler that the configuration asks for."""
        sampling = self.settings.sampling
        schedule = build_schedule(self.settings.diffusion.train_timesteps)
        return build_scheduler(sampling.scheduler, sampling.scheduler_options, schedule=schedule)

    def pipeline(self) -> StatePipeline:
        """The trained model with the sampler that the configuration asks for.

        Raises `UserError` if there is no model, or one of other settings.
        """
        folder = self.model_folder
        if not (folder / "model_index.json").is_file():
            raise UserError(f"{folder} holds no model; run the diffusion stage first")
        # A model that was not distilled has no such record.
        differing = differing_settings(folder, {"distillation": None} | self.model_settings)
        if differing:
            raise UserError(
                f"{folder} was made with other settings ({', '.join(differing)} differ); run the "
                "stages again, or set --run_directory to another path"
            )
        pipeline = StatePipeline.from_pretrained(folder)
        pipeline.scheduler = self.scheduler()
        pipeline.register_to_config(steps=self.settings.sampling.steps)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def pipeline_around(self, unet: UNet2DModel, codec: Codec) -> StatePipeline:
        """Networks, trained or not, with the sampler that the configuration asks for."""
        return StatePipeline(unet, self.scheduler(), codec, steps=self.settings.sampling.steps)

    def guide(self, codec: Codec) -> SteeringGuide:
        """The guide of the experiment; the data's statistics are read only if it needs them."""
        ocean = ocean_of(codec, climatology=cache(self.climatology))
        return build_guide(self.settings.guidance, ocean)

    def climatology(self) -> Climatology:
        """The climatology that is saved with the model, or else that of the training states."""
        if (self.model_folder / CLIMATOLOGY).is_file():
            return saved_climatology(self.model_folder)
        return training_climatology(self.archive)

    def release(self, climatology: Callable[[], Climatology]) -> Release:
        """What the model's folder says of it."""
        settings = self.settings
        return Release(
            title=settings.title or settings.name,
            archive=settings.data.archive,
            experiment=settings.model_dump(mode="json"),
            climatology=climatology,
            teacher=settings.distillation.teacher if settings.distillation else None,
        )

    def samples(self, row: str) -> Path:
        """Where the samples of a row of `configs.stages.ROWS` are kept."""
        return self.directory / "samples" / f"{row}.zarr"

    def ensemble(self, *, guided: bool) -> Ensemble:
        """The ensemble that the configuration describes."""
        return Ensemble(
            settings=self.settings.sampling,
            record=self.sampling_record(guided=guided),
            pipeline=self.pipeline,
            guide=self.guide if guided else None,
        )

    def sampling_record(self, *, guided: bool) -> str:
        """What makes the run's ensemble, as JSON."""
        return sampling_record(
            model=self.settings.name,
            weights=self.weights,
            sampling=self.settings.sampling,
            guidance=self.settings.guidance if guided else None,
        )


def load_run(path: Path, overrides: Sequence[str] = ()) -> Run:
    """The run of the experiment that a YAML describes, with `overrides` of its settings."""
    return Run(load_experiment(path, overrides))


def guide_of_model(folder: Path, codec: Codec) -> SteeringGuide:
    """The guide of a released model's own configuration, from its folder alone.

    codec: the model's, as `StatePipeline.from_pretrained(folder).codec`. Raises `UserError` if the
    folder lacks what the guide needs.
    """
    settings = load_experiment(folder / "experiment.yaml").guidance
    climatology = cache(lambda: saved_climatology(folder))
    return build_guide(settings, ocean_of(codec, climatology=climatology))
