"""A run: an experiment with its run directory, and access to its products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import SchedulerMixin, UNet2DModel

from autoencoder.codec import Codec
from autoencoder.stored import load_network
from autoencoder.train import build_codec, load_codec
from configs.layout import Layout
from configs.schema import Experiment
from data.archive.held_out import HeldOut
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from data.archive.verification import verify_once
from data.conditions import Conditions
from data.errors import UserError
from guidance.climatology import (
    CLIMATOLOGY,
    Climatology,
    saved_climatology,
    training_climatology,
)
from guidance.guide import SteeringGuide
from latent_diffusion.expectation import Expectation
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.origin import Origin
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.release import Release
from latent_diffusion.sample import Ensemble, sampling_record, weights_digest
from latent_diffusion.schedulers import build_schedule, build_scheduler
from training.launch import launched_processes, main_first, require_shared_folder
from training.records import Record
from training.stage import Stage, differing_settings, unknown_settings


class Run(Layout):
    """An experiment on disk: paths of its products, what they depend on, and how to open them.

    settings: the experiment
    """

    def with_settings(self, **changes: object) -> Run:
        """The same run with some sections of its settings replaced, which are not checked again."""
        unknown = changes.keys() - Experiment.model_fields.keys()
        if unknown:
            raise TypeError(f"an experiment has no section {min(unknown)}")
        return self._of(self.settings.model_copy(update=changes))

    def _of(self, settings: Experiment) -> Run:
        return type(self)(settings)

    def with_members(self, members: int) -> Run:
        """The same run, to draw so many states. Raises `UserError` for less than one."""
        if members < 1:
            raise UserError(f"{members} states cannot be drawn: give 1 or more")
        sampling = self.settings.sampling.model_copy(update={"members": members})
        return self.with_settings(sampling=sampling)

    @property
    def of_further_seeds(self) -> list[Run]:
        """The same run with each further sampling seed that it is judged with."""
        sampling, count = self.settings.sampling, self.settings.evaluation.seeds
        return [
            self.with_settings(sampling=sampling.model_copy(update={"seed": sampling.seed + more}))
            for more in range(1, count)
        ]

    @cached_property
    def archive(self) -> StateArchive:
        """The state archive of the experiment."""
        return StateArchive.open(self.settings.data.stored)

    @property
    def held_out(self) -> HeldOut:
        """The states that the model is judged with: the test states of its archive."""
        return HeldOut.of(self.archive, "test")

    @property
    def results(self) -> Path:
        """Folder of the evaluation."""
        return self.directory

    def verify_archive(self) -> None:
        """Verify the states of the archive, once for this run; archive.json notes the outcome.

        Raises `UserError` if the archive is corrupt or was changed, or if the processes do not
        share the run directory.
        """
        require_shared_folder(self.directory)
        main_first(lambda: verify_once(self.archive, self.directory / "archive.json"))

    @property
    def codec_stage(self) -> Stage:
        """The training of the codec."""
        record = {"archive": self.archive.digest} | self.codec_settings | self._network_record
        return Stage(self.codec_folder.parent, product=self.codec_folder, record=record)

    @property
    def denoiser_stage(self) -> Stage:
        """The training of the denoiser."""
        record = {"archive": self.archive.digest} | self.model_settings | self._network_record
        return Stage(self.directory / "diffusion", product=self.model_folder, record=record)

    @property
    def _network_record(self) -> Record:
        """What the grid's size adds to the network that the settings name; see `record_on`."""
        latent_grid = self.latent_grid(*self.archive.grid.shape[1:])
        return self.settings.diffusion.record_on(*latent_grid)

    @property
    def distillation_stage(self) -> Stage:
        """The training of a denoiser of few steps."""
        record = self.model_settings | {"teacher": self.teacher.weights}
        return Stage(self.directory / "distillation", product=self.model_folder, record=record)

    @property
    def weights(self) -> str | None:
        """Digest of the trained denoiser; None if there is none."""
        return weights_digest(self.model_folder)

    @property
    def judged_weights(self) -> str | None:
        """Digest of the weights that a verdict on this model is about."""
        return self.weights

    @property
    def exports(self) -> Path:
        """Folder of exported states without a name of their own."""
        return self.directory

    @property
    def teacher(self) -> Run:
        """The run that the denoiser is distilled from, with the sampler of its chains.

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
        """A codec of this design with the grid and training statistics of an archive."""
        return build_codec(
            self.settings.autoencoder, archive, diffusion_stages=self.stages_for(archive)
        )

    def stages_for(self, archive: Archive) -> int:
        """Stages of the denoiser on the grid of an archive."""
        return self.stages_on(*archive.grid.shape[1:])

    def codec(self) -> Codec:
        """The trained codec. Raises `UserError` if there is none."""
        return load_codec(self.codec_folder)

    def scheduler(self) -> SchedulerMixin:
        """The sampler of the configuration."""
        sampling = self.settings.sampling
        schedule = build_schedule(self.settings.diffusion.train_timesteps)
        return build_scheduler(sampling.scheduler, sampling.scheduler_options, schedule=schedule)

    def pipeline(self) -> StatePipeline:
        """The trained model with the sampler of the configuration.

        Raises `UserError` if there is no model, or one of other settings.
        """
        folder = self.model_folder
        if not (folder / "model_index.json").is_file():
            raise UserError(f"{folder} holds no model; run the diffusion stage first")
        # The record of a model without distillation or conditions has no such key.
        absent: Record = {"distillation": None, "conditions": None}
        differing = differing_settings(folder, absent | self.model_settings)
        if differing:
            self.refuse_former(folder)
            raise UserError(
                f"{folder} was made with other settings ({', '.join(differing)} differ); set "
                "--run_directory to another path, or remove autoencoder/, diffusion/ and model/ "
                "there to train again"
            )
        return self.pipeline_in(folder)

    def pipeline_in(self, folder: Path) -> StatePipeline:
        """The model in a folder, with the sampler and the guidance of the configuration."""
        pipeline = StatePipeline.from_pretrained(folder)
        pipeline.scheduler = self.scheduler()
        pipeline.register_to_config(steps=self.settings.sampling.steps)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.origin = self.origin
        return pipeline

    def placed_pipeline(self) -> StatePipeline:
        """`pipeline`, on the device that this process computes on."""
        return self.pipeline().to(launched_processes().device)

    def refuse_former(self, product: Path) -> None:
        """Raises `UserError` if a stage's product was made by an earlier version of Halocline."""
        unknown = unknown_settings(product, self.model_settings)
        if unknown:
            raise UserError(
                f"{product} was made by an earlier version of Halocline (it has the settings "
                f"{', '.join(unknown)}); set --run_directory to another path"
            )

    def pipeline_around(self, unet: UNet2DModel, codec: Codec) -> StatePipeline:
        """Networks without training, with the sampler of the configuration.

        Their Gaussian has no patterns; the closed form costs little compared with the networks.
        """
        with torch.device(codec.device):
            gaussian = MemberGaussians(codec.latent_shape)
        return StatePipeline(
            unet, gaussian, self.scheduler(), codec, steps=self.settings.sampling.steps
        )

    def guide(self, codec: Codec) -> SteeringGuide:
        """The guide of the experiment; the data's statistics are read only if it needs them."""
        return self.origin.guide(codec)

    @property
    def origin(self) -> Origin:
        """Name and guidance of the experiment, for its pipeline."""
        settings = self.settings
        return Origin(settings.name, settings.guidance, cache(self.climatology))

    def climatology(self) -> Climatology:
        """The climatology saved with the model, or computed from the training states."""
        if (self.model_folder / CLIMATOLOGY).is_file():
            return saved_climatology(self.model_folder)
        return training_climatology(self.archive)

    def release(self, climatology: Callable[[], Climatology]) -> Release:
        """Metadata for the folder of the model."""
        settings = self.settings
        return Release(
            title=settings.title or settings.name,
            archive=settings.data.archive,
            experiment=settings.model_dump(mode="json"),
            climatology=climatology,
            teacher=settings.distillation.teacher if settings.distillation else None,
        )

    def expectation(self) -> Expectation:
        """The expectation of a conditional model. Raises `UserError` if there is none."""
        folder = self.model_folder / "expectation"
        if not folder.is_dir():
            raise UserError(f"{self.model_folder} holds no model with conditions; train one first")
        return load_network(folder, Expectation)

    @cached_property
    def test_conditions(self) -> Conditions | None:
        """Conditions of the evaluated ensemble: those of test states, spread over the split.

        With the expected mean: spread then is internal variability, as that of a test member. None
        for a model without conditions.
        """
        if self.settings.conditions is None:
            return None
        members = self.settings.sampling.members
        held_out = self.held_out
        rows = np.resize(held_out.some(members), members)
        found = Conditions.of(held_out.archive, rows, self.settings.conditions)
        return replace(found, certain=True)

    def ensemble(
        self, *, guided: bool, conditions: Conditions | None = None, noises: int | None = None
    ) -> Ensemble:
        """The ensemble of the configuration.

        conditions: of each member of a conditional model; default: `test_conditions`; noises: see
        `Ensemble`
        """
        conditions = conditions or self.test_conditions
        return Ensemble(
            settings=self.settings.sampling,
            record=self.sampling_record(guided=guided, conditions=conditions, noises=noises),
            pipeline=self.pipeline,
            guide=self.guide if guided else None,
            conditions=conditions,
            noises=noises,
        )

    def sampling_record(
        self,
        *,
        guided: bool,
        conditions: Conditions | None = None,
        noises: int | None = None,
        observed: dict[str, object] | None = None,
    ) -> str:
        """What determines the ensemble, see `latent_diffusion.sample.sampling_record`."""
        return sampling_record(
            model=self.settings.name,
            weights=self.weights,
            sampling=self.settings.sampling,
            guidance=self.settings.guidance if guided else None,
            conditions=conditions or self.test_conditions,
            noises=noises,
            observed=observed,
        )
