"""The members of an archive: those that a model has learned, and those that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.archive.format import SPLITS
from data.archive.reader import StateArchive
from data.conditions import Conditions, ConditionSettings, ConditionSpace
from data.errors import UserError

UNSEEN = ("test", "outside")  # splits; only the first must have states
EQUAL = 1e-6  # standardised parameters of replicates

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """A member's states in one split.

    split, name; indices: of its states in the archive, `n`, in the order of time; conditions: of
    these states; point: its standardised parameters `p`
    """

    split: str
    name: str
    indices: NDArray[np.int64]
    conditions: Conditions
    point: FloatArray

    def nearest(self, others: Sequence[Member]) -> list[Member]:
        """The other members, the one with the nearest parameters first."""
        return sorted(others, key=self.distance)

    def distance(self, other: Member) -> float:
        """Distance to another member in standardised parameters."""
        return float(np.linalg.norm(self.point - other.point))

    def replicate(self, others: Sequence[Member]) -> Member | None:
        """The first other member with the same parameters."""
        same = (one for one in others if one is not self and self.distance(one) < EQUAL)
        return next(same, None)


def members_of(
    archive: StateArchive, split: str, *, space: ConditionSpace, settings: ConditionSettings
) -> list[Member]:
    """The members with states in a split; none if the archive has no such states."""
    members = []
    for number in np.unique(archive.member[archive.split == SPLITS[split]]):
        own = np.flatnonzero((archive.split == SPLITS[split]) & (archive.member == number))
        own = own[np.argsort(archive.time[own], kind="stable")]
        conditions = Conditions.of(archive, own, settings)
        point = space.point(conditions.at([0]))[0]
        members.append(Member(split, _name(archive, int(number)), own, conditions, point))
    return members


def unseen_members(
    archive: StateArchive, *, space: ConditionSpace, settings: ConditionSettings
) -> list[Member]:
    """The test members and those outside the range of the parameters.

    Raises `UserError` if there is no test member, or one of which a model has seen states.
    """
    archive.indices(UNSEEN[0])  # raises the error
    seen = np.isin(archive.split, [SPLITS["train"], SPLITS["validation"]])
    members = [
        one
        for split in UNSEEN
        for one in members_of(archive, split, space=space, settings=settings)
    ]
    for one in members:
        if np.isin(archive.member[one.indices], archive.member[seen]).any():
            raise UserError(
                f"member {one.name} of {archive.path} has {one.split} states and training or "
                "validation states: this study needs members of which no state was seen; split the "
                "archive by member"
            )
    return members


def most_distant(members: Sequence[Member]) -> tuple[Member, Member]:
    """The two members whose parameters differ most."""
    pairs = ((a, b) for i, a in enumerate(members) for b in members[i + 1 :])
    return max(pairs, key=lambda pair: pair[0].distance(pair[1]))


def halfway(pair: tuple[Member, Member], space: ConditionSpace) -> Conditions:
    """Conditions half-way between two members, with season and age of the first one's states."""
    first, second = pair
    middle = space.parameters(0.5 * (first.point + second.point)[None])
    return first.conditions.with_values(**{name: float(v[0]) for name, v in middle.items()})


def _name(archive: StateArchive, number: int) -> str:
    names = archive.attributes.get("members")
    return str(names[number]) if isinstance(names, list) else f"member {number}"
