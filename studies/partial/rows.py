"""The rows of the study: ways to predict an equilibrium, and the choice of the forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from studies.partial.exponential import (
    extrapolate_components,
    extrapolate_groups,
    extrapolate_linearly,
)
from studies.partial.forms import Form, Prediction, left_out
from studies.partial.records import Records
from studies.partial.stacking import WeightedMean

FloatArray = NDArray[np.float64]
STATE = (("change",), ("tendency",), ("change", "tendency"))
EQUILIBRIUM, REMAINING, REST = "equilibrium", "remaining change", "rest beyond the extrapolation"
PARAMETERS_ALONE = "parameters alone"
START_AND_CHANGE = "first year and change of parameters"
STATE_ALONE = "state alone"
REGRESSION = "parameters, state and tendency"
OURS = "weighted mean"
STAYING, FIRST = "staying put", "first year"
COMPONENTS = "exponential, by component"
LEVELS = "exponential, by level"
AVERAGED = (STAYING, PARAMETERS_ALONE, START_AND_CHANGE, REGRESSION)


def _with_state(target: str, *known: str, through_origin: bool = False) -> list[Form]:
    return [Form(target, (*known, *fields), through_origin) for fields in ((), *STATE)]


CANDIDATES: Mapping[str, Sequence[Form]] = {
    PARAMETERS_ALONE: [Form(EQUILIBRIUM, ("parameters",))],
    START_AND_CHANGE: [
        Form("change from the first year", ("change of parameters",), through_origin=True)
    ],
    STATE_ALONE: [
        Form(target, ("change",), through_origin)
        for target in (REMAINING, REST)
        for through_origin in (False, True)
    ],
    "state and tendency": [
        Form(target, fields, through_origin)
        for target in (REMAINING, REST)
        for fields in STATE[1:]
        for through_origin in (False, True)
    ],
    REGRESSION: [
        *_with_state(EQUILIBRIUM, "parameters")[1:],
        *_with_state(REMAINING, "parameters"),
        *_with_state(REST, "parameters"),
        *_with_state(REMAINING, "change of parameters", through_origin=True),
        *_with_state(REST, "change of parameters", through_origin=True),
    ],
}


@dataclass(frozen=True)
class Choices:
    """The chosen forms by row, and the scores of all candidates.

    scores: by row, name of the form and year: standardised rms error of T and S, mean over
    training members that are predicted from the others
    """

    forms: Mapping[str, Form]
    scores: Mapping[str, Mapping[str, Mapping[int, float]]]

    @classmethod
    def of(cls, training: Records, years: Sequence[int]) -> Choices:
        """For each row the candidate with the least mean score over the years."""
        forms, scores = {}, {}
        for row, candidates in CANDIDATES.items():
            found = {form: _scores(form, training, years) for form in candidates}
            forms[row] = min(found, key=lambda form: sum(found[form].values()))
            scores[row] = {form.name: by_year for form, by_year in found.items()}
        return cls(forms, scores)


def predictions(choices: Choices, levels: NDArray[np.int64]) -> dict[str, Prediction]:
    """All rows by name.

    levels: the number of the field and level of each value, `v`
    """
    rows: dict[str, Prediction] = {
        STAYING: lambda training, at: at.last,
        FIRST: lambda training, at: at.first,
        "linear": extrapolate_linearly,
        LEVELS: partial(extrapolate_groups, groups=levels),
        COMPONENTS: extrapolate_components,
        **{row: form.predict for row, form in choices.forms.items()},
    }
    return rows | {OURS: WeightedMean([rows[row] for row in AVERAGED])}


def rms(errors: FloatArray) -> FloatArray:
    """Rms over the volume and over T and S `m` of errors `m v` in standardised units."""
    mean: FloatArray = np.square(errors).sum(axis=1) / 2
    return np.sqrt(mean)


def _scores(form: Form, training: Records, years: Sequence[int]) -> dict[int, float]:
    return {year: _score(form, training.until(year)) for year in years}


def _score(form: Form, training: Records) -> float:
    return float(rms(left_out(form.predict, training) - training.equilibrium).mean())
