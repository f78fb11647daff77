"""The restorer's stage, after that of the autoencoder.

Run it with `accelerate launch -m autoencoder.train_restorer CONFIG [--section.key value ...]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from autoencoder.codec import Codec, VolumeCodec
from autoencoder.restorer import Restorer, RestorerObjective, decoded_and_truth
from autoencoder.train import load_codec
from configs import Experiment, parse_command_line
from configs.schema import RestorerSettings
from data.batches import Samples
from data.errors import UserError, user_errors_in_one_sentence
from data.states import StateArchive
from training.batches import batches_from_counter, batches_once
from training.launch import build_accelerator
from training.loop import Trainer
from training.stage import is_done, put_in_place

PRODUCT = "restorer"
DECODED_AT_ONCE = 16  # states


def main() -> None:
    """Train the experiment's restorer on its frozen codec."""
    with user_errors_in_one_sentence():
        train_restorer(parse_command_line(__doc__ or ""))


def train_restorer(experiment: Experiment) -> None:
    """Train the restorer and save it; resumes by itself. Raises `UserError` without settings."""
    settings = restorer_settings(experiment)
    archive, codec = (
        StateArchive.open(experiment.data.archive),
        volume_codec(load_codec(experiment)),
    )
    codec.check_archive(archive)
    product = stage_directory(experiment) / PRODUCT
    record = stage_record(settings, codec, archive)
    if is_done(product, record):
        return
    accelerator = build_accelerator(
        stage_directory(experiment), precision=settings.training.precision
    )
    pairs = {split: DecodedStates(codec, archive, split) for split in ("train", "validation")}
    restorer = build_restorer(settings, codec, pairs)
    trainer = build_trainer(
        experiment, restorer, pairs=pairs, identity=record, accelerator=accelerator
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    if accelerator.is_main_process:
        restorer.cpu().eval().calibrate(pairs["validation"].pairs, steps=settings.steps)
        put_in_place(product, record, restorer.save_pretrained)
    accelerator.wait_for_everyone()


class DecodedStates(Samples):
    """Auto-encoded states of a split beside the truth, normalised, `n 2 c y x`, held in memory."""

    def __init__(self, codec: VolumeCodec, archive: StateArchive, split: str) -> None:
        indices = archive.indices(split)
        parts = np.array_split(indices, range(DECODED_AT_ONCE, len(indices), DECODED_AT_ONCE))
        self.pairs = torch.cat([decoded_and_truth(codec, archive.read(part)) for part in parts])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        return self.pairs[item], item


def build_restorer(
    settings: RestorerSettings, codec: VolumeCodec, pairs: Mapping[str, DecodedStates]
) -> Restorer:
    """An untrained restorer that knows the residuals of training and validation states."""
    torch.manual_seed(settings.training.seed)
    rows, columns = codec.padding.padded_shape
    restorer = Restorer(
        codec.statistics.channels,
        rows,
        columns,
        modes=settings.modes,
        window=settings.window,
        patch=settings.patch,
        width=settings.width,
        blocks=settings.blocks,
        periodic_x=codec.config.ocean["periodic_x"],
        steps=settings.steps,
    )
    wet = codec.padding.pad(codec.statistics.wet.float())
    restorer.adopt(wet, training=pairs["train"].pairs, held_out=pairs["validation"].pairs)
    return restorer


def build_trainer(
    experiment: Experiment,
    restorer: Restorer,
    *,
    pairs: Mapping[str, DecodedStates],
    identity: dict[str, object],
    accelerator: Accelerator,
) -> Trainer:
    """Everything that the restorer's training needs, assembled."""
    settings = restorer_settings(experiment).training
    plan = settings.plan()
    return Trainer(
        RestorerObjective(restorer),
        plan=plan,
        training_batches=batches_from_counter(
            pairs["train"], plan=plan, accelerator=accelerator, workers=settings.workers
        ),
        validation_batches=batches_once(pairs["validation"], plan=plan, accelerator=accelerator),
        accelerator=accelerator,
        directory=stage_directory(experiment),
        label="restorer",
        identity=identity,
    )


def load_restorer(experiment: Experiment) -> Restorer:
    """The trained restorer of an experiment. Raises `UserError` if there is none."""
    folder = stage_directory(experiment) / PRODUCT
    if not folder.is_dir():
        raise UserError(f"{folder} holds no restorer; run autoencoder.train_restorer first")
    return Restorer.from_pretrained(folder).eval()


def trained_restorer(experiment: Experiment, codec: Codec, archive: StateArchive) -> Restorer:
    """As `load_restorer`; raises `UserError` unless it was made with these settings and codec."""
    settings = restorer_settings(experiment)
    record = stage_record(settings, volume_codec(codec), archive)
    if not is_done(stage_directory(experiment) / PRODUCT, record):
        raise UserError(
            f"{stage_directory(experiment)} holds no restorer made with this configuration; run "
            "its stage first: accelerate launch -m autoencoder.train_restorer CONFIG"
        )
    return load_restorer(experiment)


def restorer_settings(experiment: Experiment) -> RestorerSettings:
    """The experiment's settings of the restorer. Raises `UserError` if it has none."""
    if experiment.restorer is None:
        raise UserError(
            f"{experiment.name} has no section 'restorer'; add one with its training, or give "
            "--restorer.training.samples"
        )
    return experiment.restorer


def volume_codec(codec: Codec) -> VolumeCodec:
    """The codec, if it loses small scales at all; raises `UserError` for a data-space model."""
    if not isinstance(codec, VolumeCodec):
        raise UserError("a data-space model loses no small scales: there is nothing to restore")
    return codec


def stage_directory(experiment: Experiment) -> Path:
    """Where the stage keeps checkpoints and logs."""
    return experiment.run_directory / "restorer"


def stage_record(
    settings: RestorerSettings, codec: VolumeCodec, archive: StateArchive
) -> dict[str, object]:
    """What the stage's product depends on: data, codec and settings."""
    return {
        "archive": archive.digest,
        "codec": codec.fingerprint,
        "restorer": settings.model_dump(mode="json"),
    }


if __name__ == "__main__":
    main()
