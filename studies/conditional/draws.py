"""The generated states of the study, in archives in the run directory; drawing resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.layout import ROWS
from configs.run import Run
from data.archive.reader import StateArchive
from data.conditions import Conditions
from data.state import State
from latent_diffusion.sample import adjust_archive, draw

FEWEST = 64  # states drawn for a member
UNGUIDED, GUIDED, PRODUCT = ROWS
# As guided, with the expected mean instead of one drawn from its predictive distribution.
EXPECTED, EXPECTED_ADJUSTED = "expected", "expected_adjusted"
DRAWN = (*ROWS, EXPECTED, EXPECTED_ADJUSTED)


@dataclass(frozen=True)
class Draws:
    """Generated states by row of `DRAWN`, and by what they were drawn for."""

    archives: dict[str, StateArchive]
    places: dict[str, range]

    def read(self, row: str, name: str) -> State:
        """The states of a row that were drawn under `name`."""
        return self.archives[row].read(self.places[name])


def draw_all(run: Run, conditions: Mapping[str, Conditions], *, folder: Path) -> Draws:
    """Draw states at conditions by name into a folder: without and with guidance, and adjusted.

    All names are one ensemble, so that the noise of each is its own. All rows share the noise. The
    spread of the rows of `configs.layout.ROWS` contains the uncertainty of the mean, which is drawn
    from its predictive distribution; that of the expected mean's rows does not.
    """
    joined = join(list(conditions.values()))
    sampling = run.settings.sampling.model_copy(update={"members": len(joined)})
    run = run.with_settings(sampling=sampling)
    paths = {row: folder / f"{row}.zarr" for row in DRAWN}
    draw(run.ensemble(guided=False, conditions=joined), output=paths[UNGUIDED])
    draw(run.ensemble(guided=True, conditions=joined), output=paths[GUIDED])
    adjust_archive(paths[GUIDED], paths[PRODUCT])
    expected = run.ensemble(guided=True, conditions=replace(joined, certain=True))
    draw(expected, output=paths[EXPECTED])
    adjust_archive(paths[EXPECTED], paths[EXPECTED_ADJUSTED])
    archives = {row: StateArchive.open(path) for row, path in paths.items()}
    return Draws(archives, _places(conditions))


def repeated(conditions: Conditions) -> Conditions:
    """The conditions, each equally often, at least `FEWEST` in all."""
    times = -(-FEWEST // len(conditions))
    return conditions.at(np.tile(np.arange(len(conditions)), times))


def join(parts: list[Conditions]) -> Conditions:
    """Conditions one after another."""
    first = parts[0]
    values = {name: np.concatenate([p.values[name] for p in parts]) for name in first.values}
    return Conditions(values, units=first.units)


def _places(conditions: Mapping[str, Conditions]) -> dict[str, range]:
    ends: NDArray[np.int64] = np.cumsum([len(one) for one in conditions.values()])
    return {
        name: range(int(end) - len(one), int(end))
        for (name, one), end in zip(conditions.items(), ends, strict=True)
    }
