"""How good a conditional model is on unseen members: `halocline study conditional CONFIG`.

States are drawn at the conditions of the states of each test member and each member outside the
range of the training parameters, and compared with that member's own states. Statistical emulators
and the nearest training member stand beside them. Drawing resumes; see `studies.conditional.draws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from configs.run import Run
from data.conditions import Conditions, ConditionSettings
from data.errors import UserError
from evaluation.canvas import save_figure
from evaluation.metrics.row import EvaluationContext
from evaluation.provenance import provenance
from guidance.seawater import equation_of_state
from studies.conditional.columns import course_of
from studies.conditional.coverage import flatness, rank_histogram, share_percent
from studies.conditional.draws import Draws, draw_all, repeated
from studies.conditional.figures import error_profiles, response
from studies.conditional.inversion import ParameterRegression, r_squared
from studies.conditional.judging import Judged, judge_member
from studies.conditional.members import (
    UNSEEN,
    Member,
    halfway,
    members_of,
    most_distant,
    unseen_members,
)
from studies.conditional.mixture import bimodality, peaks, positions, residual, width_ratio
from studies.conditional.rows import LABELS, TRUTH, StandIns
from studies.conditional.summary import JUDGED, Aim, aims, summarise
from studies.conditional.training import TrainingMembers
from training.log import write_json

BETWEEN = "half-way between the most distant training members"
INSIDE, OUTSIDE = UNSEEN
WIDTH = "mixture test: width / within members"


def run(run: Run, *, output: Path | None = None, figures: Path | None = None) -> dict[str, Any]:
    """Judge a trained conditional model on unseen members; write the result and two figures.

    output: JSON file (default: docs/results/conditional_NAME.json); figures: folder (default:
    docs/figures). Raises `UserError` for a model without conditions, or an archive without unseen
    test members.
    """
    name = f"conditional_{run.settings.name}"
    output = output or Path("docs") / "results" / f"{name}.json"
    figures = figures or Path("docs") / "figures"
    content = evaluate(run)
    write_json(output, content)
    save_figure(error_profiles(content), figures / f"{name}_profiles.png")
    save_figure(response(content), figures / f"{name}_response.png")
    print(f"wrote {output}")
    return content


def evaluate(run: Run) -> dict[str, Any]:
    """All results, ready for JSON."""
    settings, archive = _condition_settings(run), run.archive
    pipeline, space = run.pipeline(), run.expectation().space
    unseen = unseen_members(archive, space=space, settings=settings)
    members = members_of(archive, "train", space=space, settings=settings)
    pair = most_distant(members)
    conditions = {one.name: repeated(one.conditions) for one in unseen}
    conditions[BETWEEN] = repeated(halfway(pair, space))
    draws = draw_all(run, conditions)
    training = TrainingMembers.of(archive, members, space)
    context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
    stand_ins = StandIns.of(archive, context, training, unseen=unseen, draws=draws)
    inversion = ParameterRegression.of(training)
    judged = [
        judge_member(one, stand_ins, pipeline=pipeline, inversion=inversion)
        for one in tqdm(unseen, desc="judging", unit="member")
    ]
    parts = {split: [one for one in judged if one.member.split == split] for split in UNSEEN}
    obeyed = {split: _obeyed(part, list(space.scales)) for split, part in parts.items() if part}
    mixture = {row: _mixture(row, pair, training, draws, conditions[BETWEEN]) for row in JUDGED}
    return {
        "kind": "conditional",
        "experiment": run.settings.name,
        "depth_m": archive.grid.depth.tolist(),
        "labels": LABELS,
        "training_members": len(members),
        "regressors": stand_ins.choices(),
        "summary": {s: summarise([one.rows for one in p]) for s, p in parts.items() if p},
        "predictions": {split: _predictions(part) for split, part in parts.items() if part},
        "parameters": obeyed,
        "mixture": mixture,
        "aims": {
            row: [one.as_dict() for one in _aims(row, parts, obeyed, mixture[row])]
            for row in JUDGED
        },
        "members": {one.member.name: one.as_dict(stand_ins) for one in judged},
        "provenance": provenance(seeds={"sampling": run.settings.sampling.seed}),
    }


def _condition_settings(run: Run) -> ConditionSettings:
    if run.settings.conditions is None:
        raise UserError(
            f"{run.settings.name} has no section conditions, so there is nothing to judge; see "
            "configs/ensemble.yaml"
        )
    return run.settings.conditions


def _predictions(judged: Sequence[Judged]) -> dict[str, Any]:
    """Coverage, rank histogram and deviations of the predicted level means of T."""
    predictions = [one.prediction for one in judged]
    chi_square, p = flatness(predictions)
    return {
        "coverage_percent": share_percent([one.covered for one in predictions]),
        "within_two_deviations_percent": share_percent(
            [np.abs(one.deviations) < 2 for one in predictions]
        ),
        "rank_histogram": rank_histogram(predictions).tolist(),
        "chi_square": chi_square,
        "p": p,
    }


def _obeyed(judged: Sequence[Judged], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Explained variance of the parameters regressed from the states of each row, by parameter."""
    points = [one.member.point for one in judged]
    return {
        row: dict(
            zip(
                names,
                r_squared([o.parameters[row] for o in judged], points).tolist(),
                strict=True,
            )
        )
        for row in judged[0].parameters
        if all(row in one.parameters for one in judged)
    }


def _less_than_truth(obeyed: dict[str, dict[str, float]], row: str) -> dict[str, float]:
    """R² of a row minus that of the truth; NaN for parameters that true states do not tell."""
    return {
        name: obeyed[row][name] - truth if truth > 0 else np.nan
        for name, truth in obeyed[TRUTH].items()
    }


def _mixture(
    row: str,
    pair: tuple[Member, Member],
    training: TrainingMembers,
    draws: Draws,
    conditions: Conditions,
) -> dict[str, Any]:
    """The mixture test with states of a row."""
    numbers = [training.members.index(one) for one in pair]
    ends, cells = (training.means[numbers[0]], training.means[numbers[1]]), training.cells
    within = [
        residual(
            positions(training.own(number), *ends, cells),
            course_of(training.space, one.conditions),
        )
        for number, one in zip(numbers, pair, strict=True)
    ]
    drawn = positions(cells.vectors(draws.read(row, BETWEEN)), *ends, cells)
    left = residual(drawn, course_of(training.space, conditions))
    return {
        "members": [one.name for one in pair],
        "states": len(drawn),
        "position": float(drawn.mean()),
        "width_ratio": width_ratio(left, within),
        "width_within": width_ratio(np.concatenate(within), [np.ones(1)]),
        "peaks": peaks(left),
        "bimodality": bimodality(left),
    }


def _aims(
    row: str,
    parts: dict[str, list[Judged]],
    obeyed: dict[str, dict[str, dict[str, float]]],
    mixture: dict[str, Any],
) -> list[Aim]:
    inside = parts[INSIDE]
    found = aims([one.rows for one in inside], row)
    predictions = _predictions(inside)
    found += [
        Aim("level means in the predicted 90 % range [%]", predictions["coverage_percent"], 80, 97),
        Aim("flat rank histogram, p", predictions["p"], low=0.05),
    ]
    found += [
        Aim(f"R² of {name} regressed back, less that of truth", lost, low=-0.05)
        for name, lost in _less_than_truth(obeyed[INSIDE], row).items()
    ]
    found += [
        Aim("mixture test: peaks", mixture["peaks"], 1, 1),
        Aim(WIDTH, mixture["width_ratio"], 0.9, 1.1),
    ]
    if parts[OUTSIDE]:
        share = _predictions(parts[OUTSIDE])["within_two_deviations_percent"]
        found.append(Aim("outside: level means within two deviations [%]", share, low=90))
    return found
