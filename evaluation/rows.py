"""The rows of an evaluation: truth, auto-encoded truth and the three kinds of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from autoencoder.codec import Codec
from autoencoder.train import load_codec
from configs import Experiment
from data.errors import UserError
from data.state import State
from data.states import StateArchive
from evaluation.metrics import EvaluationContext, evaluate_row
from guidance.seawater import equation_of_state
from latent_diffusion.sample import adjust_archive, draw

SAMPLED = ("unguided", "guided", "guided_adjusted")


def sample_rows(experiment: Experiment) -> None:
    """Draw the ensembles that an evaluation judges: the same noise without and with guidance."""
    draw(experiment, guided=False, output=row_path(experiment, "unguided"))
    draw(experiment, guided=True, output=row_path(experiment, "guided"))
    source, target = row_path(experiment, "guided"), row_path(experiment, "guided_adjusted")
    if not target.exists() or _made_by(source) != _made_by(target):
        adjust_archive(source, target)


def row_path(experiment: Experiment, row: str) -> Path:
    """Where the samples of a row are kept."""
    return experiment.run_directory / "samples" / f"{row}.zarr"


def row_archive(experiment: Experiment, row: str) -> StateArchive:
    """The samples of a row. Raises `UserError` if they were not drawn yet."""
    path = row_path(experiment, row)
    if not path.exists():
        raise UserError(f"{path} is missing; draw the samples first: halocline run CONFIG")
    return StateArchive.open(path)


def gather_rows(experiment: Experiment) -> dict[str, State]:
    """All rows, the held-out truth first."""
    archive = StateArchive.open(experiment.data.archive)
    truth = archive.read(spread_out(archive.indices("test"), experiment.evaluation.states))
    rows = {"truth": truth, "autoencoded": autoencode(load_codec(experiment), truth)}
    for row in SAMPLED:
        samples = row_archive(experiment, row)
        rows[row] = samples.read(range(len(samples)))
    return rows


def evaluate_rows(experiment: Experiment, rows: dict[str, State]) -> dict[str, dict[str, float]]:
    """The metrics of every row against the truth."""
    archive = StateArchive.open(experiment.data.archive)
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


def spread_out(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of `indices`, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]


def _made_by(path: Path) -> object:
    return StateArchive.open(path).attributes.get("sampling")
