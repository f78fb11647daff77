"""The autoencoder stage: from a state archive to a trained codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from autoencoder.codec import Codec, IdentityCodec, VolumeCodec
from autoencoder.cutting import Cutter
from autoencoder.fitting import fit_linear_maps, standardise_latents
from autoencoder.objective import AutoencoderObjective, Objective
from autoencoder.ocean import describe_ocean
from autoencoder.settings import AutoencoderSettings
from autoencoder.stored import ADVICE, CONFIG, load_network
from autoencoder.window_objective import WindowObjective
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from data.batches import StateDataset, read_in_batches
from data.documents import read_object
from data.errors import UserError, shown
from data.normalisation import Statistics
from data.state import State
from guidance.seawater import equation_of_state
from training.launch import build_accelerator
from training.loop import Trainer
from training.stage import Stage

CODECS: dict[str, type[Codec]] = {codec.__name__: codec for codec in (VolumeCodec, IdentityCodec)}


def train_codec(
    stage: Stage, settings: AutoencoderSettings, *, archive: StateArchive, diffusion_stages: int
) -> None:
    """Fit statistics, train the VAE (if any) and publish the codec; an interrupted run resumes.

    diffusion_stages: stages of the denoiser, which halves the latent grid between stages
    """
    if stage.is_done:
        return
    codec = build_codec(settings, archive, diffusion_stages=diffusion_stages)
    accelerator = build_accelerator(stage.directory)
    if isinstance(codec, VolumeCodec):
        trainer = build_trainer(
            settings,
            codec,
            archive=archive,
            accelerator=accelerator,
            directory=stage.directory,
            diffusion_stages=diffusion_stages,
        )
        trainer.run()
        trainer.adopt_averaged_weights()
        codec.to(accelerator.device)  # of a codec trained on windows, only the network is there
        states = _states(archive, codec, at_once=settings.training.states_at_once)
        standardise_latents(codec.eval(), states)
    stage.publish(codec.cpu().save_pretrained)


def build_codec(settings: AutoencoderSettings, archive: Archive, *, diffusion_stages: int) -> Codec:
    """An untrained codec with the grid and the statistics of the training states."""
    codec = design_codec(settings, describe_ocean(archive), diffusion_stages=diffusion_stages)
    statistics = Statistics.from_archive(archive, indices=archive.indices("train"))
    codec.adopt(archive.grid, statistics)
    if isinstance(codec, VolumeCodec):
        at_once = settings.training.states_at_once
        fit_linear_maps(codec, lambda: _states(archive, codec, at_once=at_once))
    return codec


def design_codec(
    settings: AutoencoderSettings, ocean: dict[str, Any], *, diffusion_stages: int
) -> Codec:
    """An untrained codec without statistics.

    ocean: from `autoencoder.ocean.describe_ocean`
    """
    _refuse_too_small(ocean)
    halvings = 2 ** (diffusion_stages - 1)
    # The same initial weights in every process, and in every run with this seed.
    torch.manual_seed(settings.training.seed)
    if settings.kind == "identity":
        return IdentityCodec(ocean=ocean, multiple=halvings)
    design = settings.design
    return VolumeCodec(
        ocean=ocean, multiple=design.factor * halvings, design=design.model_dump(mode="json")
    )


def _refuse_too_small(ocean: dict[str, Any]) -> None:
    """Raise `UserError` for an ocean without water columns, or with one."""
    levels, rows, columns = ocean["levels"], ocean["rows"], ocean["columns"]
    if levels < 2 or rows * columns < 2:
        raise UserError(
            f"the grid has {levels} levels, {rows} rows and {columns} columns: expected 2 or more "
            "levels and more than one column, because density steps and horizontal patterns are "
            "learned"
        )


def build_trainer(
    settings: AutoencoderSettings,
    codec: VolumeCodec,
    *,
    archive: Archive,
    accelerator: Accelerator,
    directory: Path,
    diffusion_stages: int,
) -> Trainer:
    """The trainer of the autoencoder."""
    plan, options = settings.training, objective_options(settings, archive)
    training, validation = state_datasets(archive)
    if plan.gradient_checkpointing:
        codec.vae.enable_gradient_checkpointing()
    objective: Objective
    cut = None
    if plan.window is None:
        objective = AutoencoderObjective(codec, **options)
    else:
        objective = WindowObjective(codec, **options)
        cut = Cutter(codec, plan.window, spectral=settings.losses.spectral > 0)
    return Trainer(
        objective,
        cut=cut,
        plan=plan,
        training=training,
        validation=validation,
        accelerator=accelerator,
        directory=directory,
        label="autoencoder",
        identity={
            "data": archive.digest,
            "diffusion_stages": diffusion_stages,
            **_design(settings),
        },
    )


def objective_options(settings: AutoencoderSettings, archive: Archive) -> dict[str, Any]:
    """Keywords of an `AutoencoderObjective` for these settings and states."""
    return {
        "eos": equation_of_state(archive.equation_of_state),
        "losses": settings.losses.weights,
        "latent_jitter": settings.losses.latent_jitter,
    }


def state_datasets(archive: Archive) -> tuple[StateDataset, StateDataset]:
    """Training and validation states."""
    return (
        StateDataset(archive, archive.indices("train")),
        StateDataset(archive, archive.indices("validation")),
    )


def load_codec(folder: Path) -> Codec:
    """The trained codec in `folder`. Raises `UserError` if there is none or it is damaged."""
    config = folder / CONFIG
    if not config.is_file():
        raise UserError(f"{folder} holds no codec; run the autoencoder stage first")
    name = read_object(config, advice=ADVICE).get("_class_name")
    kind = CODECS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UserError(f"{config} is of a {shown(name)}: expected {' or '.join(CODECS)}.")
    return load_network(folder, kind).eval()


def _design(settings: AutoencoderSettings) -> dict[str, object]:
    """Network and loss settings; only checkpoints with the same ones are resumed."""
    design = settings.record
    losses = {f"losses.{name}": weight for name, weight in design.pop("losses").items()}
    return {name: value for name, value in design.items() if name != "training"} | losses


def _states(archive: Archive, codec: Codec, *, at_once: int) -> Iterator[State]:
    """The training states on the codec's device, in batches of `at_once`; large states alone."""
    device = codec.grid_depth.device
    for batch in read_in_batches(archive, archive.indices("train"), at_once=at_once):
        yield batch.map(lambda field: field.to(device))
