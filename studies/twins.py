"""What studies with a known truth share: truths, timed rows, finished files, scores, settings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.archive.reader import StateArchive
from data.errors import UserError, meant
from data.grid import OceanGrid
from data.salinity import SALINITY_UNIT
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.stability import mixed_layer_depth
from evaluation.metrics.variance import FIELDS
from evaluation.metrics.weights import column_area, weighted_mean
from guidance.seawater import EquationOfState
from studies.observations.scores import fair_crps
from training.log import write_json

UNITS = {"temperature": "K", "salinity": SALINITY_UNIT}
SCORES = tuple(
    Column(f"{score}_{field}", f"{title} of {symbol}", UNITS[field], target=0.0)
    for (field, symbol), (score, title) in product(
        FIELDS.items(), {"rmse": "RMSE", "crps": "CRPS"}.items()
    )
)


class Row(NamedTuple):
    """States of a method, without sea level, and the seconds of processor time that each took."""

    name: str
    states: State
    cpu_seconds: float


def timed(name: str, make: Callable[[], State], *, before: float = 0.0) -> Row:
    """The row of the states that `make` returns; before: seconds that it has taken already."""
    start = time.process_time()
    states = replace(make(), sea_level=None)
    return Row(name, states, (time.process_time() - start + before) / len(states))


def kept(path: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The result of one truth: from the file `path`, or made and written there."""
    if not path.is_file():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
        return dict(found)
    stored: dict[str, Any] = json.loads(path.read_text())
    return stored


def truths_of(archive: StateArchive, split: str, count: int) -> NDArray[np.int64]:
    """Numbers of `count` states of a split, spread over its members and over their records.

    Fewer if the split has fewer; the states of a member are in the middle of equal parts of its
    record.
    """
    states = archive.indices(split)
    members = np.unique(archive.member[states])
    own = {int(one): states[archive.member[states] == one] for one in members}
    wanted = dict.fromkeys(own, 0)
    for number in range(min(count, len(states))):
        wanted[int(members[number % len(members)])] += 1
    chosen = []
    for member, rows in own.items():
        times = min(wanted[member], len(rows))
        places = (np.arange(times) + 0.5) / max(times, 1) * len(rows)
        chosen += rows[places.astype(np.int64)].tolist()
    return np.array(chosen, dtype=np.int64)


def seed_of(*numbers: int) -> int:
    """A seed that differs for other numbers, such as the study's seed and that of a state."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def mean_scores(field: str, members: Tensor, truth: Tensor, volume: Tensor) -> dict[str, float]:
    """The values of `SCORES` for one field: members `b z y x`, truth and weights `z y x`."""
    square = (members.mean(dim=0) - truth).square()
    return {
        f"rmse_{field}": float(weighted_mean(square, volume)) ** 0.5,
        f"crps_{field}": float(weighted_mean(fair_crps(members, truth), volume)),
    }


def mean_mixed_layer(states: State, grid: OceanGrid, eos: EquationOfState) -> float:
    """Depth of the mixed layer [m], mean over area and states."""
    depth = mixed_layer_depth(states, grid, eos)
    return float(weighted_mean(depth, column_area(grid)).mean())


def check_least(settings: object, least: Mapping[str, float]) -> None:
    """Raise `UserError` if a setting is smaller than the least that makes sense, by name."""
    for name, smallest in least.items():
        if getattr(settings, name) < smallest:
            raise UserError(
                f"{name.replace('_', ' ')} is {getattr(settings, name)}: give at least {smallest}"
            )


def check_names(what: str, names: Sequence[str], known: Collection[str]) -> None:
    """Raise `UserError` for a name that is not known."""
    for name in names:
        if name not in known:
            raise UserError(
                f"there is no {what} {name}{meant(name, known)}: give some of {', '.join(known)}"
            )
