"""The rows of an evaluation: truth, auto-encoded truth and the three kinds of samples."""

from __future__ import annotations

import torch
from tqdm import tqdm

from autoencoder.codec import Codec
from configs.run import Run
from configs.stages import ROWS, sample_rows
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.state import State
from evaluation.metrics import EvaluationContext, evaluate_row
from guidance.seawater import equation_of_state


def gather_rows(run: Run) -> dict[str, State]:
    """All rows, the held-out truth first; samples that are not there yet are drawn."""
    archive, codec = run.archive, run.pipeline().codec
    codec.check_archive(archive)
    sample_rows(run)
    truth = archive.read(spread_out(archive.indices("test"), run.settings.evaluation.states))
    rows = {"truth": truth, "autoencoded": autoencode(codec, truth)}
    for row in ROWS:
        samples = StateArchive.open(run.samples(row))
        rows[row] = samples.read(range(len(samples)))
    return rows


def evaluate_rows(run: Run, rows: dict[str, State]) -> dict[str, dict[str, float]]:
    """The metrics of every row against the truth."""
    archive = run.archive
    context = EvaluationContext(
        grid=archive.grid,
        eos=equation_of_state(archive.equation_of_state),
        training=archive.read(archive.indices("train")),
    )
    bar = tqdm(rows.items(), desc="evaluating", unit="row")
    return {name: evaluate_row(state, rows["truth"], context) for name, state in bar}


@torch.no_grad()
def autoencode(codec: Codec, states: State, *, batch: int = 16) -> State:
    """States through the codec and back: the ceiling of what its samples can be."""
    channels = states.to_channels().split(batch)
    parts = [State.from_channels(part, levels=states.levels) for part in channels]
    return State.cat([codec.decode(codec.encode(part)) for part in parts])
