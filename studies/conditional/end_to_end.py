"""A network that draws whole latents at given conditions: no regression predicts their mean.

Codec, network, training and sampler are those of the experiment. What differs is the expectation,
which here is the mean of all training states, whatever the conditions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from configs.run import Run
from configs.stages import train_network
from data.archive.reader import StateArchive
from data.batches import Samples
from data.conditions import Conditions, ConditionSettings, ConditionSpace
from latent_diffusion.expectation import Expectation
from latent_diffusion.residuals import (
    ConditionalData,
    ConditionalSamples,
    Residuals,
    deviation,
)
from training.stage import Stage


def train_end_to_end(run: Run, folder: Path) -> Path:
    """Train the network in a folder; resumes. Returns the folder of the model."""
    record = {**run.denoiser_stage.record, "expectation": "the mean of all training states"}
    stage = Stage(folder / "diffusion", product=folder / "model", record=record)
    train_network(run, stage, divided=whole_latents)
    return stage.product


def whole_latents(
    datasets: dict[str, Samples],
    archive: StateArchive,
    settings: ConditionSettings,
    *,
    weight: Tensor,
) -> ConditionalData:
    """As `latent_diffusion.residuals.conditional_data`, about the mean of all training states.

    weight: `c h w`, of each latent value, 0 on land
    """
    rows = {split: archive.indices(split) for split in datasets}
    conditions = {split: Conditions.of(archive, rows[split], settings) for split in datasets}
    member = archive.member[rows["train"]]
    space = ConditionSpace.of(conditions["train"], member, settings)
    mean = _mean(datasets["train"])

    def residuals(split: str, scale: Tensor | float) -> Residuals:
        count = len(rows[split])
        group, course = np.zeros(count, dtype=np.int64), np.ones((count, 1))
        return Residuals(datasets[split], mean[None, None], group=group, course=course, scale=scale)

    scale = deviation(residuals("train", 1.0), weight)
    points = space.point(conditions["train"].at(np.unique(member, return_index=True)[1]))
    terms = space.course(conditions["train"].at([0])).shape[1]
    expectation = Expectation(tuple(mean.shape), dict(vars(space)), len(points), terms)
    expectation.points.copy_(torch.from_numpy(points))
    expectation.means[0] = mean
    expectation.scale.copy_(scale)
    scaled: dict[str, Samples] = {split: residuals(split, scale) for split in datasets}
    samples: dict[str, Samples] = {
        split: ConditionalSamples(one, expectation.features(conditions[split]))
        for split, one in scaled.items()
    }
    return ConditionalData(expectation, scaled, samples)


def _mean(samples: Samples) -> Tensor:
    """Mean `c h w` of latents, given as moments `2 c h w`."""
    total = sum(samples[item][0][0].double() for item in range(len(samples)))
    assert isinstance(total, Tensor)
    return (total / len(samples)).float()
