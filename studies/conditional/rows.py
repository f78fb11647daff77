"""The rows of the study: what stands in for the states of an unseen member.

A row gives states for a member. To add one, such as a network that draws states end to end, add
its name to `LABELS` and its states to `StandIns.rows` or to `mean_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.archive.reader import StateArchive
from data.conditions import Conditions
from data.state import State
from evaluation.metrics.labels import Labels
from evaluation.metrics.row import EvaluationContext
from evaluation.rows import halves
from guidance.stratification import adjust
from studies.conditional.cells import FloatArray
from studies.conditional.columns import course_of
from studies.conditional.draws import (
    DRAWN,
    EXPECTED,
    EXPECTED_ADJUSTED,
    GUIDED,
    PRODUCT,
    UNGUIDED,
    Draws,
    repeated,
)
from studies.conditional.emulator import GaussianEmulator
from studies.conditional.mean_states import (
    MeanRegression,
    gaussian_processes,
    neighbour_weights,
    ridge_regressors,
)
from studies.conditional.members import Member
from studies.conditional.training import TrainingMembers

TRUTH, HALVES, REPLICATE, NEAREST = "truth", "truth_halves", "replicate", "nearest"
EMULATED, EMULATED_ADJUSTED = "eof_gaussian", "eof_gaussian_adjusted"
NEIGHBOURS, RIDGE, PROCESS = "neighbours", "ridge", "gaussian_process"
STATISTICAL = (NEIGHBOURS, RIDGE, PROCESS, EMULATED)  # that predict the mean
LABELS = {
    TRUTH: "truth",
    HALVES: "truth, half to half",
    REPLICATE: "replicate",
    NEAREST: "nearest training member",
    NEIGHBOURS: "mean of neighbours",
    RIDGE: "ridge",
    PROCESS: "Gaussian process",
    EMULATED: "EOF-Gaussian emulator",
    EMULATED_ADJUSTED: "EOF-Gaussian emulator, adjusted",
    UNGUIDED: "unguided",
    GUIDED: "guided",
    PRODUCT: "guided, adjusted",
    EXPECTED: "expected mean, guided",
    EXPECTED_ADJUSTED: "expected mean, guided, adjusted",
}
FEWEST_OF_A_HALF = 2


class Row(NamedTuple):
    """States of a row.

    course: `b t` of states that are independent given their conditions; None for other states
    """

    name: str
    states: State
    course: FloatArray | None = None


@dataclass(frozen=True)
class StandIns:
    """All that stands in for the states of unseen members: training members, emulators, draws.

    unseen: the members themselves
    """

    archive: StateArchive
    context: EvaluationContext
    training: TrainingMembers
    unseen: Sequence[Member]
    draws: Draws
    ridge: MeanRegression
    process: MeanRegression
    emulator: GaussianEmulator

    @classmethod
    def of(
        cls,
        archive: StateArchive,
        context: EvaluationContext,
        training: TrainingMembers,
        *,
        unseen: Sequence[Member],
        draws: Draws,
    ) -> StandIns:
        """Fit the emulators to the training members."""
        ridge, process = (
            MeanRegression.of(training.means, training.points, cells=training.cells, among=among)
            for among in (ridge_regressors(), gaussian_processes())
        )
        emulator = GaussianEmulator.of(training)
        return cls(archive, context, training, unseen, draws, ridge, process, emulator)

    def truth(self, member: Member) -> State:
        """The states of a member."""
        return self.archive.read(member.indices)

    def halves(self, member: Member) -> tuple[State, State] | None:
        """The earlier and the later half of a member's states; None if a half has a single one."""
        parts = halves(self.truth(member), Labels.of(self.archive, member.indices))
        return parts if min(map(len, parts)) >= FEWEST_OF_A_HALF else None

    def nearest(self, member: Member) -> Member:
        """The training member with the nearest parameters."""
        return member.nearest(self.training.members)[0]

    def replicate(self, member: Member) -> Member | None:
        """Another unseen member with the same parameters."""
        return member.replicate(self.unseen)

    def rows(self, member: Member) -> Iterator[Row]:
        """Rows of states."""
        other = self.replicate(member)
        if other:
            yield Row(REPLICATE, self.truth(other))
        yield Row(NEAREST, self.training.states(self.nearest(member)))
        conditions = repeated(member.conditions)
        course = course_of(self.training.space, conditions)
        emulated = self._emulated(member, conditions)
        yield Row(EMULATED, emulated, course)
        grid, eos = self.context.grid, self.context.eos
        yield Row(EMULATED_ADJUSTED, adjust(emulated, eos=eos, grid=grid), course)
        yield from self.drawn(member)

    def drawn(self, member: Member) -> Iterator[Row]:
        """Rows of generated states."""
        course = course_of(self.training.space, repeated(member.conditions))
        for row in DRAWN:
            yield Row(row, self.draws.read(row, member.name), course)

    def mean_rows(self, member: Member) -> Iterator[Row]:
        """Rows that have only a mean, as a single state."""
        training, at = self.training, member.point[None]
        means = {
            NEIGHBOURS: neighbour_weights(member.point, training.points)[None] @ training.means,
            RIDGE: self.ridge.predict(at),
            PROCESS: self.process.predict(at),
        }
        for name, vectors in means.items():
            yield Row(name, training.cells.states(vectors))

    def choices(self) -> dict[str, object]:
        """Which regressors were chosen, with the noise of each."""
        parts = {RIDGE: [self.ridge], PROCESS: [self.process], EMULATED: self.emulator.terms}
        return {
            name: [f"{one.regressor.name}, noise {one.regressor.noise:g}" for one in terms]
            for name, terms in parts.items()
        }

    def _emulated(self, member: Member, conditions: Conditions) -> State:
        """States of the EOF-Gaussian emulator; the noise of each member is its own."""
        seed = int(np.flatnonzero([one is member for one in self.unseen])[0])
        return self.training.cells.states(self.emulator.draw(conditions, seed=seed))
