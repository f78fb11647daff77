"""The generated states of the study, in archives in the run directory; drawing resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.run import Run
from configs.stages import ROWS
from data.archive.reader import StateArchive
from data.conditions import Conditions
from data.state import State
from latent_diffusion.sample import adjust_archive, draw

FEWEST = 64  # states drawn for a member


@dataclass(frozen=True)
class Draws:
    """Generated states by row of `configs.stages.ROWS`, and by what they were drawn for."""

    archives: dict[str, StateArchive]
    places: dict[str, range]

    def read(self, row: str, name: str) -> State:
        """The states of a row that were drawn under `name`."""
        return self.archives[row].read(self.places[name])


def draw_all(run: Run, conditions: Mapping[str, Conditions]) -> Draws:
    """Draw states at conditions by name: without and with guidance from the same noise; adjusted.

    All are one ensemble, so that the noise of each name is its own.
    """
    joined = join(list(conditions.values()))
    sampling = run.settings.sampling.model_copy(update={"members": len(joined)})
    run = run.with_settings(sampling=sampling)
    folder = run.directory / "conditional"
    paths = {row: folder / f"{row}.zarr" for row in ROWS}
    unguided, guided, adjusted = ROWS
    draw(run.ensemble(guided=False, conditions=joined), output=paths[unguided])
    draw(run.ensemble(guided=True, conditions=joined), output=paths[guided])
    adjust_archive(paths[guided], paths[adjusted])
    archives = {row: StateArchive.open(path) for row, path in paths.items()}
    return Draws(archives, _places(conditions))


def repeated(conditions: Conditions) -> Conditions:
    """The conditions, each equally often, at least `FEWEST` in all."""
    times = -(-FEWEST // len(conditions))
    return conditions.at(np.tile(np.arange(len(conditions)), times))


def join(parts: list[Conditions]) -> Conditions:
    """Conditions one after another."""
    names = parts[0].values
    return Conditions({name: np.concatenate([p.values[name] for p in parts]) for name in names})


def _places(conditions: Mapping[str, Conditions]) -> dict[str, range]:
    ends: NDArray[np.int64] = np.cumsum([len(one) for one in conditions.values()])
    return {
        name: range(int(end) - len(one), int(end))
        for (name, one), end in zip(conditions.items(), ends, strict=True)
    }
