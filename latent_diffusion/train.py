"""The diffusion stage.

Run it with `accelerate launch -m latent_diffusion.train CONFIG [--section.key value ...]`.
"""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel

from autoencoder.codec import Codec
from autoencoder.periodic import make_periodic
from autoencoder.train import (
    codec_directory,
    codec_settings,
    load_codec,
    refuse_distillation,
)
from autoencoder.train import stage_record as codec_record
from configs import Experiment, parse_command_line
from data.archive.reader import StateArchive
from data.batches import Samples
from data.errors import UserError, user_errors_in_one_sentence
from guidance.climatology import CLIMATOLOGY, Climatology, training_climatology
from latent_diffusion.denoiser import build_unet
from latent_diffusion.latents import latent_datasets
from latent_diffusion.objective import DenoisingObjective
from latent_diffusion.pipeline import StatePipeline, build_pipeline, model_directory
from latent_diffusion.schedulers import build_schedule
from training.launch import build_accelerator
from training.log import write_json
from training.loop import Trainer
from training.stage import is_done, put_in_place


def main() -> None:
    """Train the experiment's denoiser on its frozen codec."""
    with user_errors_in_one_sentence():
        train_denoiser(parse_command_line(__doc__ or ""))


def train_denoiser(experiment: Experiment) -> None:
    """Cache the latents, train the denoiser and save the model folder; resumes by itself."""
    refuse_distillation(experiment)
    product, record = model_directory(experiment.run_directory), stage_record(experiment)
    if is_done(product, record):
        return
    if not is_done(codec_directory(experiment), codec_record(experiment)):
        raise UserError(
            f"{codec_directory(experiment)} holds no codec made with this configuration; "
            "run the autoencoder stage first: accelerate launch -m autoencoder.train CONFIG"
        )
    archive = StateArchive.open(experiment.data.archive)
    codec = load_codec(experiment)
    codec.check_grid(archive.grid)
    training = experiment.diffusion.training
    accelerator = build_accelerator(stage_directory(experiment), precision=training.precision)
    with accelerator.main_process_first():
        datasets = latent_datasets(
            codec, archive, path=stage_directory(experiment) / "latents.safetensors"
        )
    schedule, unet = build_schedule(experiment), build_denoiser(experiment, codec)
    pipeline = build_pipeline(experiment, unet=unet, codec=codec)
    trainer = build_trainer(
        experiment, codec, unet=unet, schedule=schedule, datasets=datasets, accelerator=accelerator
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    if accelerator.is_main_process:
        pipeline.to("cpu").unet.eval()
        known = training_climatology(archive)
        put_in_place(
            product, record, lambda folder: save_model(pipeline, experiment, known, folder)
        )
    accelerator.wait_for_everyone()


def build_denoiser(experiment: Experiment, codec: Codec) -> UNet2DModel:
    """An untrained network for the codec's latents."""
    settings = experiment.diffusion
    torch.manual_seed(settings.training.seed)
    unet = build_unet(
        codec.latent_shape,
        static_maps=len(codec.static_maps),
        channels=settings.channels,
        blocks=settings.blocks,
        attention=settings.attention,
        dropout=settings.dropout,
    )
    if codec.config.ocean["periodic_x"]:
        make_periodic(unet)
    return unet


def build_trainer(
    experiment: Experiment,
    codec: Codec,
    *,
    unet: UNet2DModel,
    schedule: DDPMScheduler,
    datasets: dict[str, Samples],
    accelerator: Accelerator,
) -> Trainer:
    """Everything that the denoiser's training needs, assembled."""
    settings = experiment.diffusion.training
    objective = DenoisingObjective(
        unet,
        schedule=schedule,
        weight=codec.latent_weight,
        static_maps=codec.static_maps,
        noise_emphasis=experiment.diffusion.noise_emphasis,
    )
    return Trainer.of_samples(
        objective,
        training=datasets["train"],
        validation=datasets["validation"],
        plan=settings.plan(),
        workers=settings.workers,
        accelerator=accelerator,
        directory=stage_directory(experiment),
        label="diffusion",
        identity={
            "codec": codec.fingerprint,
            "timesteps": experiment.diffusion.train_timesteps,
            "noise_emphasis": experiment.diffusion.noise_emphasis,
        },
    )


def save_model(
    pipeline: StatePipeline, experiment: Experiment, known: Climatology, folder: Path
) -> None:
    """A released model: pipeline, climatology for its guides, training YAML and model card."""
    pipeline.save_pretrained(folder)
    write_json(folder / CLIMATOLOGY, {**known.as_dict()})
    settings = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)
    (folder / "experiment.yaml").write_text(settings)
    (folder / "README.md").write_text(model_card(pipeline, experiment))


def model_card(pipeline: StatePipeline, experiment: Experiment) -> str:
    """What the model is, what it was trained on and how it is used."""
    codec = pipeline.codec
    levels, rows, columns = codec.grid.shape
    variables = "temperature, salinity" + ", sea level" * codec.config.ocean["sea_level"]
    told = experiment.distillation
    distilled = f", for which the denoiser was distilled from {told.teacher}" if told else ""
    return f"""# {experiment.title or experiment.name}

Generates ocean states ({variables}) on a grid of {levels} levels, {rows} rows and
{columns} columns, for the equation of state `{codec.config.ocean["equation_of_state"]}`.
Trained by Halocline on `{experiment.data.archive}`; the settings are in `experiment.yaml`.
The codec keeps one number in {codec.compression:.1f}.
Chains have {pipeline.steps} steps{distilled}.

    from latent_diffusion.pipeline import StatePipeline
    pipeline = StatePipeline.from_pretrained("this folder")

All weights are safetensors; nothing is pickled.
"""


def stage_directory(experiment: Experiment) -> Path:
    """Where the stage keeps checkpoints, logs and the latent cache."""
    return experiment.run_directory / "diffusion"


def stage_record(experiment: Experiment) -> dict[str, object]:
    """The settings that the model depends on."""
    return codec_record(experiment) | model_settings(experiment)


def model_settings(experiment: Experiment) -> dict[str, object]:
    """The settings of codec and denoiser, without the data that they were trained on."""
    settings = codec_settings(experiment) | {
        "diffusion": experiment.diffusion.model_dump(mode="json")
    }
    if experiment.distillation is None:
        return settings
    sampling = experiment.sampling.model_dump(
        mode="json", include={"steps", "scheduler", "scheduler_options"}
    )
    distillation = experiment.distillation.model_dump(mode="json", exclude={"teacher"})
    return settings | {"distillation": distillation | {"sampling": sampling}}


if __name__ == "__main__":
    main()
