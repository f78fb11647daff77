"""What the study finds on all unseen members with the states of one sampling seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from studies.conditional.columns import course_of
from studies.conditional.coverage import flatness, rank_histogram, share_percent
from studies.conditional.draws import Draws
from studies.conditional.inversion import r_squared
from studies.conditional.judging import Judged
from studies.conditional.members import UNSEEN
from studies.conditional.mixture import bimodality, peaks, positions, residual, width_ratio
from studies.conditional.prepared import BETWEEN, Prepared
from studies.conditional.rows import TRUTH
from studies.conditional.summary import JUDGED, Aim, aims, summarise

INSIDE, OUTSIDE = UNSEEN
WIDTH = "mixture test: width / within members"


@dataclass(frozen=True)
class Outcome:
    """What is found with the states of one sampling seed.

    parts: the judged members by split; mixture: the mixture test by row of `JUDGED`
    """

    parts: dict[str, list[Judged]]
    parameters: dict[str, dict[str, dict[str, float]]]
    mixture: dict[str, dict[str, Any]]

    @classmethod
    def of(
        cls,
        judged: Sequence[Judged],
        given: Prepared,
        draws: Draws,
    ) -> Outcome:
        """The outcome for judged members with the draws of a seed."""
        parts = {split: [one for one in judged if one.member.split == split] for split in UNSEEN}
        names = list(given.training.space.scales)
        parameters = {split: _obeyed(part, names) for split, part in parts.items() if part}
        mixture = {row: _mixture(row, given, draws) for row in JUDGED}
        return cls(parts, parameters, mixture)

    @cached_property
    def predictions(self) -> dict[str, dict[str, Any]]:
        """How well level means are predicted, by split."""
        return {split: _predictions(part) for split, part in self.parts.items() if part}

    def as_dict(self) -> dict[str, Any]:
        """The results over members, ready for JSON."""
        parts = {split: part for split, part in self.parts.items() if part}
        return {
            "summary": {s: summarise([one.rows for one in p]) for s, p in parts.items()},
            "predictions": self.predictions,
            "parameters": self.parameters,
            "mixture": self.mixture,
            "aims": {row: [one.as_dict() for one in self._aims(row)] for row in JUDGED},
        }

    def _aims(self, row: str) -> list[Aim]:
        inside, mixture = self.parts[INSIDE], self.mixture[row]
        found = aims([one.rows for one in inside], row)
        predictions = self.predictions[INSIDE]
        coverage = predictions["coverage_percent"]
        found += [
            Aim("level means in the predicted 90 % range [%]", coverage, 80, 97),
            Aim("flat rank histogram, p", predictions["p"], low=0.05),
        ]
        found += [
            Aim(f"R² of {name} regressed back, less that of truth", lost, low=-0.05)
            for name, lost in _less_than_truth(self.parameters[INSIDE], row).items()
        ]
        found += [
            Aim("mixture test: peaks", mixture["peaks"], 1, 1),
            Aim(WIDTH, mixture["width_ratio"], 0.9, 1.1),
        ]
        if self.parts[OUTSIDE]:
            share = self.predictions[OUTSIDE]["within_two_deviations_percent"]
            found.append(Aim("outside: level means within two deviations [%]", share, low=90))
        return found


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


def _mixture(row: str, given: Prepared, draws: Draws) -> dict[str, Any]:
    """The mixture test with states of a row."""
    pair, training = given.pair, given.training
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
    left = residual(drawn, course_of(training.space, given.conditions[BETWEEN]))
    return {
        "members": [one.name for one in pair],
        "states": len(drawn),
        "position": float(drawn.mean()),
        "width_ratio": width_ratio(left, within),
        "width_within": width_ratio(np.concatenate(within), [np.ones(1)]),
        "peaks": peaks(left),
        "bimodality": bimodality(left),
    }
