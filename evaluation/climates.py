"""The climate of each state of a run's rows, where states are drawn at given conditions.

A climate is a member of the simulation, or for generated states a point of the parameters. Only
with it can the variance within climates be told from that between them: nearest training members
would put states of unlike test members into one group.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from configs.layout import ROWS
from configs.run import Run
from data.archive.reader import StateArchive
from evaluation.columns import TRUTH
from evaluation.metrics.labels import Labels
from evaluation.metrics.row import EvaluationContext
from evaluation.rows import floor, is_later, judged_with
from evaluation.yardsticks import FLOOR, HALVES


def climates(run: Run, context: EvaluationContext) -> dict[str, Tensor | None]:
    """Numbers `b` of the climates of the states of rows, as far as they are known.

    Empty without conditions. EOF-Gaussian states and the mean have no climate.
    """
    conditions = run.settings.conditions
    if conditions is None or context.training is None:
        return {}
    held_out = Labels.of(run.held_out.archive, judged_with(run))
    truth, training = held_out.groups, context.training
    known = {
        **dict.fromkeys((TRUTH, "autoencoded"), truth),
        HALVES: truth[is_later(held_out)],
        FLOOR: training.labels.groups[floor(training.states, len(truth))],
    }
    samples = {row: StateArchive.open(run.samples(row)) for row in ROWS}
    return {
        **{row: torch.from_numpy(groups) for row, groups in known.items()},
        **{row: climate_of_samples(run, drawn, context) for row, drawn in samples.items()},
    }


def climate_of_samples(
    run: Run, samples: StateArchive, context: EvaluationContext
) -> Tensor | None:
    """Numbers `b` of the points of the parameters at which samples were drawn.

    None without conditions.
    """
    conditions = run.settings.conditions
    if conditions is None or context.training is None:
        return None
    points = [samples.parameters[name] for name in conditions.parameters]
    return torch.from_numpy(np.unique(points, axis=1, return_inverse=True)[1].ravel())
