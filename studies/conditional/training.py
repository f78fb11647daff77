"""The training members, as statistical emulators see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.archive.reader import StateArchive
from data.conditions import Conditions, ConditionSpace
from data.state import State
from studies.conditional.cells import Cells, FloatArray
from studies.conditional.draws import join
from studies.conditional.members import Member


@dataclass(frozen=True)
class TrainingMembers:
    """The states of the training members, one member after another.

    members: `m`; vectors: `s n` of their states; space: of their conditions
    """

    members: list[Member]
    vectors: FloatArray
    cells: Cells
    space: ConditionSpace

    @classmethod
    def of(cls, archive: StateArchive, members: list[Member], space: ConditionSpace) -> Self:
        """Read the states of the members."""
        states = archive.read(np.concatenate([one.indices for one in members]))
        cells = Cells.of(states, archive.grid)
        return cls(members, cells.vectors(states), cells, space)

    @cached_property
    def points(self) -> FloatArray:
        """Standardised parameters of the members, `m p`."""
        return np.stack([one.point for one in self.members])

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """The member of each state, `s`, from 0 to m - 1."""
        return np.repeat(np.arange(len(self.members)), [len(m.indices) for m in self.members])

    @cached_property
    def conditions(self) -> Conditions:
        """Conditions of the states."""
        return join([one.conditions for one in self.members])

    @cached_property
    def means(self) -> FloatArray:
        """Mean vectors of the members, `m n`."""
        return np.stack([self.own(number).mean(axis=0) for number in range(len(self.members))])

    def own(self, number: int) -> FloatArray:
        """Vectors of the states of a member."""
        return self.vectors[self.group == number]

    def states(self, member: Member) -> State:
        """The states of a member."""
        return self.cells.states(self.own(self.members.index(member)))
