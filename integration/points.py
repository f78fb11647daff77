"""The points from which integrations start: held-out members of the basin's ensemble.

Member k of every label runs with the parameters of held-out member k, starts in the season of its
last state, and is forced by anomalies that no archived state has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from data.archive.format import SPLITS
from data.archive.reader import StateArchive
from data.basin.forcing import BasinParameters
from data.conditions import EQUILIBRIUM, Conditions, ConditionSettings, ConditionSpace
from data.errors import UserError
from data.parameters import AGE

FIRST_FREE_YEAR = 1000.0  # model year; no archived state is from this year or later
SAME_SEASON = 0.01  # years


@dataclass(frozen=True)
class Points:
    """Held-out states `k`, each the last of its member, whose conditions the runs share.

    index: position of each state in the archive
    """

    archive: StateArchive
    settings: ConditionSettings
    index: NDArray[np.int64]

    @classmethod
    def of(
        cls, archive: StateArchive, settings: ConditionSettings, *, test: int, outside: int
    ) -> Points:
        """The first `test` members of the test part, then the first `outside` of those outside.

        Of members with the same parameters, which are replicates, only the first counts. Raises
        `UserError` for an archive that is not of the basin, or if there are fewer.
        """
        if "ensemble_settings" not in archive.attributes:
            raise UserError(
                f"{archive.path} is not an ensemble of the basin, so that there is no ocean model "
                "to integrate; use the archive of configs/ensemble.yaml"
            )
        members = [
            member
            for part, count in (("test", test), ("outside", outside))
            for member in _distinct_members(archive, settings, part, count)
        ]
        last = [np.flatnonzero(archive.member == member)[-1] for member in members]
        return cls(archive, settings, np.array(last, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def season(self) -> NDArray[np.float64]:
        """Fraction of the year of each state."""
        return self._conditions(self.index).values["season"]

    @property
    def at_equilibrium(self) -> Conditions:
        """Conditions of generated states: each point's parameters and season, at equilibrium."""
        conditions = self._conditions(self.index)
        if AGE in conditions.values:
            conditions = conditions.with_values(**{AGE: EQUILIBRIUM})
        return replace(conditions, certain=True)

    @property
    def another(self) -> NDArray[np.int64]:
        """For each point the latest earlier state of the same member and season."""
        return self._last_in_season(self.archive.member[self.index], but=self.index)

    @property
    def nearest(self) -> NDArray[np.int64]:
        """For each point the last state in its season of the training member nearest to it.

        In standardised parameters.
        """
        training = self.archive.indices("train")
        conditions, member = self._conditions(training), self.archive.member[training]
        space = ConditionSpace.of(conditions, member, self.settings)
        here, there = space.point(self._conditions(self.index)), space.point(conditions)
        distance = np.square(here[:, None] - there[None]).sum(axis=2)
        return self._last_in_season(member[distance.argmin(axis=1)])

    def parameters(self, *, tracer_step_days: float | None = None) -> list[BasinParameters]:
        """Parameters of the basin at each point, by default with the tracer step of its member."""
        attributes = cast(Mapping[str, Any], self.archive.attributes)
        shared = BasinParameters(**attributes["ensemble_settings"]["basin"])
        steps, names = attributes["tracer_step_days"], attributes["members"]
        return [
            shared.model_copy(
                update={
                    **{name: float(self.archive.parameters[name][row]) for name in self._names},
                    "tracer_step_days": tracer_step_days or steps[names[self.archive.member[row]]],
                }
            )
            for row in self.index
        ]

    @property
    def _names(self) -> list[str]:
        return [name for name in self.archive.parameters if name in BasinParameters.model_fields]

    def _conditions(self, rows: NDArray[np.integer]) -> Conditions:
        return Conditions.of(self.archive, rows, self.settings)

    def _last_in_season(
        self, members: NDArray[np.int64], *, but: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """For each point the last state of a member in the point's season, if it has one."""
        season = self.archive.parameters["season"]
        chosen = []
        for k, member in enumerate(members):
            own = np.flatnonzero(self.archive.member == member)
            own = own[own != but[k]] if but is not None else own
            apart = np.abs((season[own] - self.season[k] + 0.5) % 1 - 0.5)
            chosen.append(own[apart <= apart.min() + SAME_SEASON][-1])
        return np.array(chosen, dtype=np.int64)


def _distinct_members(
    archive: StateArchive, settings: ConditionSettings, part: str, count: int
) -> list[int]:
    """The first `count` members of a part that differ in their parameters."""
    rows = np.flatnonzero(archive.split == SPLITS[part])
    points: dict[tuple[float, ...], int] = {}
    for row in rows:
        point = tuple(float(archive.parameters[name][row]) for name in settings.parameters)
        points.setdefault(point, int(archive.member[row]))
    members = list(dict.fromkeys(points.values()))
    if len(members) < count:
        raise UserError(
            f"{archive.path} has {len(members)} members in its {part} part, but the study needs "
            f"{count}; reduce integration.points.{part}"
        )
    return members[:count]
