"""A trainer of anything, for tests of the loop alone."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from data.batches import Samples
from training.launch import build_accelerator
from training.loop import Trainer
from training.plan import TrainingPlan


def trainer_of(
    objective: nn.Module, samples: Samples, folder: Path, *, precision: str = "fp32"
) -> Trainer:
    """Trains on a batch of four of the samples, which are those of validation, too."""
    return Trainer(
        objective,
        plan=TrainingPlan(samples=4, batch_size=4, precision=precision),
        training=samples,
        validation=samples,
        accelerator=build_accelerator(folder),
        directory=folder,
        label="test",
        identity={},
    )
