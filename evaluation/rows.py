"""The rows of a run's tables: truth, training states, classical baselines and samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from autoencoder.passing import reconstructed
from configs.layout import ROWS
from configs.run import Run
from configs.stages import sample_rows
from data.archive.mapped import joined, read_mapped
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.state import State
from evaluation.baselines import eof_gaussian, mean_state
from evaluation.columns import TRUTH
from evaluation.metrics.labels import Labels
from evaluation.metrics.row import EvaluationContext, TrainingStates
from evaluation.yardsticks import BASELINE, FLOOR
from guidance.seawater import equation_of_state
from guidance.stratification import adjust


def evaluation_context(archive: StateArchive, *, scratch: Path | None = None) -> EvaluationContext:
    """Grid, equation of state and labelled training states of an archive.

    scratch: folder where more states than fit into memory are unpacked, see `data.archive.mapped`
    """
    indices = archive.indices("train")
    states = read_mapped(archive, indices, folder=scratch) if scratch else archive.read(indices)
    training = TrainingStates(states, Labels.of(archive, indices), archive.grid)
    return EvaluationContext(
        archive.grid, equation_of_state(archive.equation_of_state), training=training
    )


def gather_rows(run: Run, context: EvaluationContext) -> dict[str, State]:
    """All rows, the held-out truth first; missing samples are generated."""
    draw_rows(run)
    codec, held_out = run.placed_pipeline().codec, run.held_out
    truth = read_mapped(held_out.archive, judged_with(run), folder=run.results)
    rows = {TRUTH: truth, **yardsticks(context, count=len(truth))}
    again = reconstructed(codec, truth)  # an upper bound on the quality of samples
    rows["autoencoded"] = joined(again, count=len(truth), folder=run.results)
    for row in ROWS:
        samples = StateArchive.open(run.samples(row))
        rows[row] = read_mapped(samples, range(len(samples)), folder=run.results)
    return rows


def draw_rows(run: Run) -> None:
    """Draw the samples that are missing; processes share this.

    Raises `UserError` if the run's archive does not fit its model.
    """
    run.pipeline().codec.check_archive(run.archive)
    sample_rows(run)


def judged_with(run: Run) -> NDArray[np.int64]:
    """The held-out states that a run is evaluated with, spread over all of them."""
    return run.held_out.some(run.settings.evaluation.states)


def yardsticks(context: EvaluationContext, *, count: int) -> dict[str, State]:
    """The rows that generated states must be compared with, of `count` states each.

    Training states, spread out; their mean; and EOF-Gaussian states without and with exact
    convective adjustment, from two training states on. Empty without training states.
    """
    if context.training is None:
        return {}
    training = context.training.states
    rows = {FLOOR: subset(training, floor(training, count)), "training_mean": mean_state(training)}
    if len(training) < 2:
        return rows
    gaussian = eof_gaussian(training, count)
    adjusted = adjust(gaussian, eos=context.eos, grid=context.grid)
    return {**rows, "eof_gaussian": gaussian, BASELINE: adjusted}


def floor(training: State, count: int) -> NDArray[np.int64]:
    """The training states of the floor: at most `count`, spread out."""
    return spread_out(np.arange(len(training)), count)


def subset(states: State, indices: NDArray[np.int64]) -> State:
    """The states at `indices`."""
    chosen = torch.from_numpy(indices)
    return states.map(lambda field: field[chosen])


def halves(states: State, labels: Labels) -> tuple[State, State]:
    """The first and the second half in time of each member's states; see `is_later`."""
    later = is_later(labels)
    return subset(states, np.flatnonzero(~later)), subset(states, np.flatnonzero(later))


def is_later(labels: Labels) -> NDArray[np.bool_]:
    """Whether each state is in the second half in time of its member's.

    Halves in time, not every other state: neighbours in time are alike, so the latter would
    understate how much two parts of the truth differ. A member of a single state is all later.
    """
    later = np.zeros(len(labels), dtype=bool)
    for one in np.unique(labels.member):
        record = np.flatnonzero(labels.member == one)
        order = record[np.argsort(labels.time[record], kind="stable")]
        later[order[len(order) // 2 :]] = True
    return later
