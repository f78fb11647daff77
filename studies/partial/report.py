"""Equilibria predicted from the first years of a run: `halocline study partial CONFIG`.

    halocline study partial configs/ensemble.yaml

reads the finished members: it writes docs/results/partial.json and docs/figures/partial_*.png.
`halocline study tables` then fills the tables of docs/results/partial.md. The grid comes from
Veros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import Experiment
from data.basin.ensemble_archive import basin_grid
from data.basin.workers import require_veros
from data.errors import UserError
from evaluation.provenance import provenance
from studies.ensemble.depth_ranges import ALL_DEPTHS, rms_by_range
from studies.partial.forms import Prediction, left_out
from studies.partial.members import Courses, StandardSpace
from studies.partial.records import Records
from studies.partial.rows import Choices, predictions
from training.log import write_json

FloatArray = NDArray[np.float64]
DOCS = Path("docs")
YEARS = (2, 5, 10, 20)  # of running after which the equilibrium is predicted
TRAINING = "train"
PARTS = (TRAINING, "validation", "test", "outside")
DIGITS = 4


def run(
    experiment: Experiment,
    *,
    output: Path = DOCS / "results" / "partial.json",
    figures: Path = DOCS / "figures",
) -> None:
    """Write the results to the JSON file `output`, and the figures to `figures`.

    Raises `UserError` if the experiment has no ensemble, Veros is not installed, or too few members
    are finished.
    """
    from studies.partial.figures import save_partial_figures

    settings = experiment.data.ensemble
    if settings is None:
        raise UserError("the configuration has no section data.ensemble; see configs/ensemble.yaml")
    require_veros()
    courses = Courses.read(settings, basin_grid(settings.basin))
    study = PartialStudy.of(courses)
    content = report(study)
    save_partial_figures(study, content, figures)
    write_json(output, content)
    if courses.missing:
        print(f"left out, because they are not finished: {', '.join(courses.missing)}")
    print(f"wrote {output} and {figures}/partial_*.png")


@dataclass(frozen=True)
class PartialStudy:
    """The finished members as vectors, and the rows that predict their equilibria.

    years: those after which they are predicted; training: records of the training members
    """

    courses: Courses
    space: StandardSpace
    years: tuple[int, ...]
    training: Records
    choices: Choices

    @classmethod
    def of(cls, courses: Courses) -> PartialStudy:
        """Choose the forms of all rows by the training members."""
        names = courses.names(TRAINING)
        fields = np.stack([courses.members[name].equilibrium for name in names])
        space = StandardSpace.of(fields, courses.grid)
        training = courses.records(names, space)
        years = tuple(year for year in YEARS if year in training.years[1:])
        return cls(courses, space, years, training, Choices.of(training, years))

    @cached_property
    def rows(self) -> dict[str, Prediction]:
        """The predictions by name."""
        return predictions(self.choices, self.space.levels)

    def predicted(self, row: str, part: str, year: int) -> FloatArray:
        """Equilibria `m v` of the members of a part from their first years.

        Each training member is predicted from the others.
        """
        known = self.training.until(year)
        if part == TRAINING:
            return left_out(self.rows[row], known)
        at = self.courses.records(self.courses.names(part), self.space).until(year)
        return self.rows[row](known, at)


def report(study: PartialStudy) -> dict[str, Any]:
    """All results, ready for JSON."""
    parts = {part: study.courses.names(part) for part in PARTS}
    ages = study.training.ages
    return {
        "kind": "partial",
        "missing": study.courses.missing,
        "parts": parts,
        "equilibrium_ages": [float(ages[0]), float(ages[-1])],
        "years": study.years,
        "forms": study.choices.scores,
        "chosen": {row: form.name for row, form in study.choices.forms.items()},
        "errors": {
            str(year): {row: _of_parts(study, row, year, parts) for row in study.rows}
            for year in study.years
        },
        "provenance": provenance(seeds={}),
    }


def _of_parts(
    study: PartialStudy, row: str, year: int, parts: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Errors by part; see `_errors`."""
    return {
        part: _errors(study, names, study.predicted(row, part, year), year)
        for part, names in parts.items()
        if names
    }


def _errors(
    study: PartialStudy, names: Sequence[str], predicted: FloatArray, year: int
) -> dict[str, Any]:
    """Errors of T and S by range of depth, and what they are worth: each a list over members."""
    courses = [study.courses.members[name] for name in names]
    errors = study.space.fields(predicted) - np.stack([one.equilibrium for one in courses])
    temperature, salinity = (_by_depth(study, errors[:, field]) for field in (0, 1))
    worth = [
        course.years_on(error, year)
        for course, error in zip(courses, temperature[ALL_DEPTHS], strict=True)
    ]
    return {
        "temperature_K": temperature,
        "salinity": salinity,
        "years_on": [round(years, 1) for years, _ in worth],
        "reached": [reached for _, reached in worth],
    }


def _by_depth(study: PartialStudy, errors: FloatArray) -> dict[str, list[float]]:
    """Rms of `errors` `m z y x` by range of depth, a list over members."""
    by_member = [rms_by_range(error, study.courses.grid) for error in errors]
    return {depths: [round(one[depths], DIGITS) for one in by_member] for depths in by_member[0]}
