"""All that is said of one unseen member: its rows, profiles, level means and prediction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data.grid import OceanGrid
from data.state import State
from evaluation.metrics.weights import level_means
from latent_diffusion.pipeline import StatePipeline
from studies.conditional.cells import FloatArray
from studies.conditional.columns import Profiles, Row, Truth, judge, judge_mean, profiles
from studies.conditional.coverage import RANGE, Prediction, predict
from studies.conditional.inversion import ParameterRegression
from studies.conditional.members import Member
from studies.conditional.rows import HALVES, TRUTH, StandIns
from studies.conditional.rows import Row as StatesOfRow


@dataclass
class Judged:
    """What was found for one member, by row.

    prediction: of its level means of T; parameters: `b p` that the states of a row look like
    """

    member: Member
    prediction: Prediction
    rows: dict[str, Row] = field(default_factory=dict)
    profiles: dict[str, Profiles] = field(default_factory=dict)
    level_means: dict[str, list[float]] = field(default_factory=dict)
    parameters: dict[str, FloatArray] = field(default_factory=dict)

    def as_dict(self, stand_ins: StandIns) -> dict[str, Any]:
        """The results, ready for JSON."""
        replicate = stand_ins.replicate(self.member)
        low, high = np.quantile(self.prediction.draws, RANGE, axis=0)
        return {
            "split": self.member.split,
            "conditions": self.member.conditions.of_state(0),
            "states": len(self.member.indices),
            "nearest": stand_ins.nearest(self.member).name,
            "replicate": replicate.name if replicate else None,
            "rows": self.rows,
            "profiles": self.profiles,
            "level_means_degC": self.level_means,
            "predicted_range_degC": {"low": low.tolist(), "high": high.tolist()},
            "covered": self.prediction.covered.tolist(),
            "deviations": self.prediction.deviations.tolist(),
        }


def judge_member(
    member: Member, stand_ins: StandIns, *, pipeline: StatePipeline, inversion: ParameterRegression
) -> Judged:
    """Judge the rows of a member, one after another."""
    grid, states = stand_ins.context.grid, stand_ins.truth(member)
    truth = Truth(states, stand_ins.context)
    judged = Judged(member, predict(pipeline, member.conditions, states, grid))
    judged.rows[TRUTH] = judge(states, truth)
    judged.level_means[TRUTH] = _level_means(states, grid)
    judged.parameters[TRUTH] = inversion.parameters(states)
    _judge_halves(judged, stand_ins)
    _judge_rows(judged, stand_ins.rows(member), truth, inversion)
    for row in stand_ins.mean_rows(member):
        judged.rows[row.name] = judge_mean(row.states, truth)
        judged.profiles[row.name] = profiles(row.states, truth)
        judged.level_means[row.name] = _level_means(row.states, grid)
    return judged


def judge_drawn(first: Judged, stand_ins: StandIns, *, inversion: ParameterRegression) -> Judged:
    """The same member with the generated states of `stand_ins`; all else is that of `first`."""
    truth = Truth(stand_ins.truth(first.member), stand_ins.context)
    judged = replace(
        first,
        rows={**first.rows},
        profiles={**first.profiles},
        level_means={**first.level_means},
        parameters={**first.parameters},
    )
    _judge_rows(judged, stand_ins.drawn(first.member), truth, inversion)
    return judged


def _judge_rows(
    judged: Judged, rows: Iterable[StatesOfRow], truth: Truth, inversion: ParameterRegression
) -> None:
    for row in rows:
        judged.rows[row.name] = judge(row.states, truth, course=row.course)
        judged.profiles[row.name] = profiles(row.states, truth)
        judged.level_means[row.name] = _level_means(row.states, truth.context.grid)
        judged.parameters[row.name] = inversion.parameters(row.states)


def _judge_halves(judged: Judged, stand_ins: StandIns) -> None:
    parts = stand_ins.halves(judged.member)
    if parts:
        earlier = Truth(parts[0], stand_ins.context)
        judged.rows[HALVES] = judge(parts[1], earlier)
        judged.profiles[HALVES] = profiles(parts[1], earlier)


def _level_means(states: State, grid: OceanGrid) -> list[float]:
    means: list[float] = level_means(states.temperature, grid).mean(dim=0).tolist()
    return means
