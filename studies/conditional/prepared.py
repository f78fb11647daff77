"""What every study of unseen members begins with."""

from __future__ import annotations

from dataclasses import dataclass

from configs.run import Run
from data.conditions import Conditions, ConditionSettings
from data.errors import UserError
from evaluation.metrics.row import EvaluationContext
from guidance.seawater import equation_of_state
from studies.conditional.draws import repeated
from studies.conditional.members import (
    Member,
    halfway,
    members_of,
    most_distant,
    unseen_members,
)
from studies.conditional.training import TrainingMembers

BETWEEN = "half-way between the most distant training members"


@dataclass(frozen=True)
class Prepared:
    """The members of an archive, and the conditions at which states are drawn.

    pair: the most distant training members; conditions: of each unseen member by name, and
    `BETWEEN` the pair
    """

    unseen: list[Member]
    pair: tuple[Member, Member]
    conditions: dict[str, Conditions]
    training: TrainingMembers
    context: EvaluationContext

    @classmethod
    def of(cls, run: Run) -> Prepared:
        """Read the training members of a run.

        Raises `UserError` for a model without conditions, or an archive without unseen members.
        """
        settings, archive = _condition_settings(run), run.archive
        space = run.expectation().space
        unseen = unseen_members(archive, space=space, settings=settings)
        members = members_of(archive, "train", space=space, settings=settings)
        pair = most_distant(members)
        conditions = {one.name: repeated(one.conditions) for one in unseen}
        conditions[BETWEEN] = repeated(halfway(pair, space))
        training = TrainingMembers.of(archive, members, space)
        context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
        return cls(unseen, pair, conditions, training, context)


def _condition_settings(run: Run) -> ConditionSettings:
    if run.settings.conditions is None:
        raise UserError(
            f"{run.settings.name} has no section conditions, so there is nothing to judge; see "
            "configs/ensemble.yaml"
        )
    return run.settings.conditions
