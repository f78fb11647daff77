"""The autoencoder stage.

Run it with `accelerate launch -m autoencoder.train CONFIG [--section.key value ...]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from autoencoder.codec import Codec, IdentityCodec, VolumeCodec, describe_ocean
from autoencoder.objective import AutoencoderObjective
from autoencoder.volume_vae import cells_per_latent
from configs import Experiment, parse_command_line
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from data.batches import StateDataset
from data.errors import UserError, user_errors_in_one_sentence
from data.normalisation import Statistics
from data.state import State
from guidance.seawater import equation_of_state
from training.launch import build_accelerator
from training.loop import Trainer
from training.stage import is_done, put_in_place

CODECS: dict[str, type[Codec]] = {"vae": VolumeCodec, "identity": IdentityCodec}


def main() -> None:
    """Train the experiment's codec."""
    with user_errors_in_one_sentence():
        train_codec(parse_command_line(__doc__ or ""))


def train_codec(experiment: Experiment) -> None:
    """Fit statistics, train the VAE (if there is one) and save the codec; resumes by itself."""
    refuse_distillation(experiment)
    directory = stage_directory(experiment)
    product, record = codec_directory(experiment), stage_record(experiment)
    if is_done(product, record):
        return
    archive = StateArchive.open(experiment.data.archive)
    codec = build_codec(experiment, archive)
    accelerator = build_accelerator(directory, precision=experiment.autoencoder.training.precision)
    if isinstance(codec, VolumeCodec):
        trainer = build_trainer(experiment, codec, archive=archive, accelerator=accelerator)
        trainer.run()
        trainer.adopt_averaged_weights()
        codec.eval().standardise(_states(archive, codec, batch_size=trainer.plan.batch_size))
    if accelerator.is_main_process:
        put_in_place(product, record, codec.cpu().save_pretrained)
    accelerator.wait_for_everyone()


def refuse_distillation(experiment: Experiment) -> None:
    """Raises `UserError` for an experiment whose networks are learnt from a trained one."""
    if experiment.distillation:
        raise UserError(
            f"{experiment.name} is distilled from {experiment.distillation.teacher} and trains no "
            "networks of its own; run: accelerate launch -m latent_diffusion.distil CONFIG"
        )


def build_codec(experiment: Experiment, archive: Archive) -> Codec:
    """An untrained codec that knows the grid and the statistics of the training states."""
    codec = design_codec(experiment, describe_ocean(archive))
    statistics = Statistics.from_archive(archive, indices=archive.indices("train"))
    codec.adopt(archive.grid, statistics)
    if isinstance(codec, VolumeCodec):
        batch_size = experiment.autoencoder.training.batch_size
        codec.fit_linear_maps(lambda: _states(archive, codec, batch_size=batch_size))
    return codec


def design_codec(experiment: Experiment, ocean: dict[str, Any]) -> Codec:
    """A codec of the experiment's design that knows nothing of the data yet.

    ocean: as `autoencoder.codec.describe_ocean` gives it
    """
    settings = experiment.autoencoder
    halvings = 2 ** (len(experiment.diffusion.channels) - 1)
    # Every process starts from the same weights; distributed wrappers broadcast them once more.
    torch.manual_seed(settings.training.seed)
    if settings.kind == "identity":
        return IdentityCodec(ocean=ocean, multiple=halvings)
    factor = cells_per_latent(settings.network, patch=settings.patch, stages=len(settings.channels))
    return VolumeCodec(
        ocean=ocean,
        multiple=factor * halvings,
        latent_channels=settings.latent_channels,
        patch=settings.patch,
        channels=settings.channels,
        blocks=settings.blocks,
        mixing=settings.mixing,
        network=settings.network,
        shortcuts=settings.shortcuts,
        vertical_modes=settings.vertical_modes,
        train_modes=settings.train_modes,
        linear_path=settings.linear_path,
        latent_noise=settings.latent_noise,
        head_kernel=settings.head_kernel,
        effect_exponent=settings.effect_exponent,
    )


def build_trainer(
    experiment: Experiment, codec: VolumeCodec, *, archive: Archive, accelerator: Accelerator
) -> Trainer:
    """Everything that the autoencoder's training needs, assembled."""
    settings = experiment.autoencoder
    objective = AutoencoderObjective(
        codec,
        eos=equation_of_state(archive.equation_of_state),
        losses=settings.losses.weights,
        latent_jitter=settings.losses.latent_jitter,
    )
    training, validation = (
        StateDataset(archive, archive.indices(split)) for split in ("train", "validation")
    )
    return Trainer.of_samples(
        objective,
        training=training,
        validation=validation,
        plan=settings.training.plan(),
        workers=settings.training.workers,
        accelerator=accelerator,
        directory=stage_directory(experiment),
        label="autoencoder",
        identity={"data": archive.digest} | _design(experiment),
    )


def load_codec(experiment: Experiment) -> Codec:
    """The trained codec of an experiment. Raises `UserError` if there is none."""
    folder = codec_directory(experiment)
    if not folder.is_dir():
        raise UserError(f"{folder} holds no codec; run the autoencoder stage first")
    return CODECS[experiment.autoencoder.kind].from_pretrained(folder).eval()


def stage_directory(experiment: Experiment) -> Path:
    """Where the stage keeps checkpoints and logs."""
    return experiment.run_directory / "autoencoder"


def codec_directory(experiment: Experiment) -> Path:
    """Where the trained codec is saved."""
    return stage_directory(experiment) / "codec"


def stage_record(experiment: Experiment) -> dict[str, object]:
    """What the stage's product depends on: the data and the settings."""
    archive = StateArchive.open(experiment.data.archive)
    return {"archive": archive.digest} | codec_settings(experiment)


def codec_settings(experiment: Experiment) -> dict[str, object]:
    """The settings that the codec depends on."""
    return {
        "autoencoder": experiment.autoencoder.model_dump(mode="json"),
        "diffusion_stages": len(experiment.diffusion.channels),
    }


def _design(experiment: Experiment) -> dict[str, object]:
    """What is trained, beside how: a checkpoint of another network or loss is not resumed."""
    settings = experiment.autoencoder.model_dump(mode="json", exclude={"training", "losses"})
    losses = experiment.autoencoder.losses.model_dump()
    return (
        settings
        | {f"losses.{name}": value for name, value in losses.items()}
        | {"diffusion_stages": len(experiment.diffusion.channels)}
    )


def _states(archive: Archive, codec: Codec, *, batch_size: int) -> Iterator[State]:
    device = codec.grid_depth.device
    for part in _parts(archive.indices("train"), batch_size):
        yield archive.read(part).map(lambda field: field.to(device))


def _parts(indices: np.ndarray, size: int) -> list[np.ndarray]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


if __name__ == "__main__":
    main()
