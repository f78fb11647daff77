"""The diffusion stage: training of the denoiser for a trained codec."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import SchedulerMixin, UNet2DModel

from autoencoder.codec import Codec
from autoencoder.periodic import make_periodic
from data.archive.reader import StateArchive
from data.batches import Samples
from data.conditions import ConditionSettings
from latent_diffusion.denoiser import ConditionEmbedding, Denoiser, build_unet
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.latents import latent_datasets
from latent_diffusion.objective import DenoisingObjective
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.release import Release, save_model
from latent_diffusion.residuals import ConditionalData, Divide, conditional_data
from latent_diffusion.schedulers import build_schedule
from latent_diffusion.settings import DiffusionSettings
from training.launch import build_accelerator
from training.loop import Trainer
from training.stage import Stage

UNKNOWN_CONDITIONS = 0.1  # share of samples whose conditions a conditional network does not see


def train_denoiser(
    stage: Stage,
    settings: DiffusionSettings,
    *,
    codec: Codec,
    archive: StateArchive,
    scheduler: SchedulerMixin,
    steps: int,
    release: Release,
    conditions: ConditionSettings | None = None,
    divided: Divide = conditional_data,
) -> None:
    """Cache the latents, train the denoiser and publish the model; an interrupted run resumes.

    scheduler, steps: for the model's chains; release: metadata of the model's folder; conditions:
    what a conditional model depends on; divided: what such a model knows of the latents before the
    training, and what it learns
    """
    if stage.is_done:
        return
    codec.check_grid(archive.grid)
    accelerator = build_accelerator(stage.directory)
    path = stage.directory / "latents.safetensors"
    datasets = latent_datasets(codec, archive, path=path)
    conditional = (
        divided(datasets, archive, conditions, weight=codec.latent_weight) if conditions else None
    )
    denoiser = initial_denoiser(settings, codec, archive, datasets["train"], conditional)
    trainer = build_trainer(
        settings,
        codec,
        denoiser=denoiser,
        datasets=conditional.samples if conditional else datasets,
        accelerator=accelerator,
        directory=stage.directory,
        conditions=conditions,
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    pipeline = _pipeline_of(denoiser, codec, scheduler, conditional, steps=steps)
    stage.publish(partial(save_model, pipeline, release))


def _pipeline_of(
    denoiser: Denoiser,
    codec: Codec,
    scheduler: SchedulerMixin,
    conditional: ConditionalData | None,
    *,
    steps: int,
) -> StatePipeline:
    """The model of a trained denoiser, on the CPU."""
    denoiser = denoiser.cpu().eval()
    return StatePipeline(
        unet=denoiser.unet,
        gaussian=denoiser.gaussian,
        scheduler=scheduler,
        codec=codec.cpu(),
        steps=steps,
        expectation=conditional.expectation if conditional else None,
        embedding=denoiser.embedding,
    )


def initial_denoiser(
    settings: DiffusionSettings,
    codec: Codec,
    archive: StateArchive,
    latents: Samples,
    conditional: ConditionalData | None,
) -> Denoiser:
    """The denoiser before training: what the closed form knows about the latents or residuals."""
    member = archive.member[archive.indices("train")]
    if conditional:  # residuals of all members have the same mean, 0
        latents, member = conditional.residuals["train"], np.zeros_like(member)
    gaussian = MemberGaussians.of(latents, member, patterns=settings.patterns)
    unet = build_network(settings, codec, conditional=conditional is not None)
    embedding = conditional and ConditionEmbedding.for_network(
        unet, features=conditional.expectation.space.size
    )
    return Denoiser(unet, gaussian, codec.static_maps, embedding)


def untrained_denoiser(settings: DiffusionSettings, codec: Codec) -> Denoiser:
    """An untrained network with a Gaussian without patterns, for measurements of cost."""
    gaussian = MemberGaussians(codec.latent_shape)
    return Denoiser(build_network(settings, codec), gaussian, codec.static_maps)


def build_network(
    settings: DiffusionSettings, codec: Codec, *, conditional: bool = False, further_maps: int = 0
) -> UNet2DModel:
    """An untrained network for the codec's latents.

    further_maps: input channels beside the latents and the codec's static maps
    """
    torch.manual_seed(settings.training.seed)
    unet = build_unet(
        codec.latent_shape,
        static_maps=len(codec.static_maps) + further_maps,
        channels=settings.widths_on(*codec.latent_shape[1:]),
        blocks=settings.blocks,
        attention=settings.attention,
        dropout=settings.dropout,
        conditional=conditional,
    )
    if codec.config.ocean["periodic_x"]:
        make_periodic(unet)
    return unet


def objective_options(settings: DiffusionSettings, codec: Codec) -> dict[str, Any]:
    """Keywords of a `DenoisingObjective` for these settings and latents."""
    return {
        "schedule": build_schedule(settings.train_timesteps),
        "weight": codec.latent_weight,
        "noise_emphasis": settings.noise_emphasis,
    }


def build_trainer(
    settings: DiffusionSettings,
    codec: Codec,
    *,
    denoiser: Denoiser,
    datasets: dict[str, Samples],
    accelerator: Accelerator,
    directory: Path,
    conditions: ConditionSettings | None = None,
) -> Trainer:
    """The trainer of the denoiser."""
    given = {"conditions": conditions.model_dump()} if conditions else {}
    if settings.training.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    objective = DenoisingObjective(
        denoiser, condition_dropout=UNKNOWN_CONDITIONS, **objective_options(settings, codec)
    )
    return Trainer(
        objective,
        plan=settings.training,
        training=datasets["train"],
        validation=datasets["validation"],
        accelerator=accelerator,
        directory=directory,
        label="diffusion",
        identity={
            "codec": codec.fingerprint,
            **settings.model_dump(mode="json", exclude={"training"}),
            **settings.record_on(*codec.latent_shape[1:]),
            **given,
        },
    )
