"""How far members lie from each other, from the training members, and from themselves earlier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from studies.ensemble.depth_ranges import ALL_DEPTHS, depth_ranges, rms_by_range
from studies.ensemble.members import REPLICATE, FinishedEnsemble

Distance = dict[str, float]  # rms difference of mean T [K] by range of depth


class Distances:
    """Distances of the mean temperatures of all finished members."""

    def __init__(self, ensemble: FinishedEnsemble) -> None:
        self._ensemble, self._originals = ensemble, ensemble.settings.originals
        means = {name: member.mean for name, member in ensemble.members.items()}
        self._pairs: dict[frozenset[str], Distance] = {
            frozenset(pair): rms_by_range(means[pair[0]] - means[pair[1]], ensemble.grid)
            for pair in combinations(means, 2)
        }

    def by_member(self) -> dict[str, dict[str, Any]]:
        """One row for each member, over all depths."""
        return {member.name: self._row(member.name) for member in self._ensemble.planned}

    def by_range(self) -> dict[str, dict[str, Any]]:
        """One row for each range of depth, with medians and largest values over members."""
        held_out = [
            distance
            for member in self._ensemble.planned
            if self._ensemble.part(member) not in ("train", REPLICATE)
            if (distance := self._nearest(member.name)[1])
        ]
        columns = {
            "between": [self._pairs[pair] for pair in self._pairs if not self._repeated(pair)],
            "nearest": held_out,
            "drift": [self._drift(name) for name in self._ensemble.members],
            "replicate": [
                distance for name in self._originals if (distance := self._from_original(name))
            ],
        }
        return {
            depths: {
                key: value
                for name, distances in columns.items()
                for key, value in _statistics(name, [one[depths] for one in distances]).items()
            }
            for depths in depth_ranges(self._ensemble.grid.depth)
        }

    def _row(self, name: str) -> dict[str, Any]:
        nearest, distance = self._nearest(name)
        original = self._from_original(name)
        others = [d[ALL_DEPTHS] for p, d in self._pairs.items() if name in p]
        return {
            "nearest": nearest,
            "nearest_K": distance and distance[ALL_DEPTHS],
            "others_median_K": float(np.median(others)) if others else None,
            "drift_K": self._drift(name)[ALL_DEPTHS],
            "original_K": original and original[ALL_DEPTHS],
        }

    def _nearest(self, name: str) -> tuple[str | None, Distance | None]:
        """The nearest other training member over all depths, and the distance to it."""
        others = {
            one: self._pairs[frozenset((name, one))]
            for one in self._ensemble.training
            if one != name
        }
        if not others:
            return None, None
        nearest = min(others, key=lambda one: others[one][ALL_DEPTHS])
        return nearest, others[nearest]

    def _from_original(self, name: str) -> Distance | None:
        """The distance of a replicate from its original, if both are finished."""
        return self._pairs.get(frozenset((name, self._originals.get(name, name))))

    def _repeated(self, pair: frozenset[str]) -> bool:
        """Whether a pair has a replicate, which would count its point twice."""
        return any(name in self._originals for name in pair)

    def _drift(self, name: str) -> Distance:
        """From the first to the last third of the regular records."""
        member = self._ensemble.members[name]
        return rms_by_range(member.last_third - member.first_third, self._ensemble.grid)


def _statistics(name: str, values: Sequence[float]) -> dict[str, float | None]:
    return {
        f"{name}_median_K": float(np.median(values)) if values else None,
        f"{name}_largest_K": max(values, default=None),
    }
