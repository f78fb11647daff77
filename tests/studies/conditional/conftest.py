"""Training members with a known response to their parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data.conditions import Conditions, ConditionSettings, ConditionSpace
from studies.conditional.cells import Cells
from studies.conditional.members import Member
from studies.conditional.training import TrainingMembers

SETTINGS = ConditionSettings(parameters={"gm": "log", "warming": "linear"}, season=True)


@pytest.fixture
def training_members(tiny_grid, tiny_states) -> Callable[..., TrainingMembers]:
    """Makes 12 members of `states` states: `mean(points)` plus `anomaly(conditions, point)`."""

    def make(mean, anomaly, *, states: int = 40) -> TrainingMembers:
        grid = tiny_grid()
        random = np.random.default_rng(0)
        gm, warming = np.exp(random.uniform(6, 7.6, 12)), random.uniform(0, 4, 12)
        season = np.arange(states) * 0.3 % 1
        conditions = [
            Conditions(
                {
                    "gm": np.full(states, g),
                    "warming": np.full(states, w),
                    "season": season,
                }
            )
            for g, w in zip(gm, warming, strict=True)
        ]
        everything = Conditions(
            {name: np.concatenate([c.values[name] for c in conditions]) for name in SETTINGS_NAMES}
        )
        group = np.repeat(np.arange(12), states)
        space = ConditionSpace.of(everything, group, SETTINGS)
        members = [
            Member("train", f"m{number}", np.arange(states), one, space.point(one)[0])
            for number, one in enumerate(conditions)
        ]
        vectors = np.concatenate(
            [mean(m.point) + anomaly(m.conditions, m.point, random) for m in members]
        )
        cells = Cells.of(tiny_states(grid, batch=30, seed=1), grid)
        return TrainingMembers(members, vectors, cells, space)

    return make


SETTINGS_NAMES = ("gm", "warming", "season")


@pytest.fixture
def size(tiny_grid) -> int:
    """Length of the vectors of states of the tiny grid."""
    return 2 * int(tiny_grid().wet.sum())
