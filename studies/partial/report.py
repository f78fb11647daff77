"""Equilibria predicted from the first years of a run: `halocline study partial CONFIG`.

    halocline study partial configs/ensemble.yaml

reads the finished members: it writes docs/results/partial.json and docs/figures/partial_*.png.
`halocline study tables` then fills the tables of docs/results/partial.md. The grid comes from
Veros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import Experiment
from evaluation.provenance import provenance
from studies.ensemble.depth_ranges import ALL_DEPTHS, rms_by_range
from studies.ensemble.members import settings_and_grid
from studies.partial.forms import Prediction, left_out
from studies.partial.members import Courses, StandardSpace
from studies.partial.records import Records, span
from studies.partial.rows import AVERAGED, LEVELS, Choices, predictions, rms
from studies.partial.stacking import WeightedMean
from training.log import write_json

FloatArray = NDArray[np.float64]
Predictor = Callable[[str, int], FloatArray]  # of a part from a year, see `PartialStudy.predicted`
DOCS = Path("docs")
YEARS = (2, 5, 10, 20)  # of running after which the equilibrium is predicted
TRAINING = "train"
PARTS = (TRAINING, "validation", "test", "outside")
DIGITS = 4


def run(
    experiment: Experiment,
    *,
    network: Path | None = None,
    seeds: int = 1,
    samples: int | None = None,
    output: Path = DOCS / "results" / "partial.json",
    figures: Path = DOCS / "figures",
) -> None:
    """Write the results to the JSON file `output`, and the figures to `figures`.

    network: YAML of an experiment on this ensemble, with a trained autoencoder, whose network is
    trained to correct predictions; seeds: how many times; samples: of each training

    Raises `UserError` if the experiment has no ensemble, Veros is not installed, or too few members
    are finished.
    """
    from studies.partial.figures import save_partial_figures

    courses = Courses.read(*settings_and_grid(experiment))
    study = PartialStudy.of(courses)
    content = report(study, _networks(study, network, seeds, samples) if network else {})
    save_partial_figures(study, content, figures)
    write_json(output, content)
    if courses.missing:
        print(f"left out, because they are not finished: {', '.join(courses.missing)}")
    print(f"wrote {output} and {figures}/partial_*.png")


@dataclass(frozen=True)
class PartialStudy:
    """The finished members as vectors, and the rows that predict their equilibria.

    years: those after which they are predicted; records: by part, as vectors of `space`; basis:
    orthonormal, of all these vectors. Rows but `LEVELS` do not depend on the axes of the vectors,
    so they predict coordinates in this basis, which are few.
    """

    courses: Courses
    space: StandardSpace
    years: tuple[int, ...]
    records: Mapping[str, Records]
    basis: FloatArray
    choices: Choices

    @classmethod
    def of(cls, courses: Courses) -> PartialStudy:
        """Choose the forms of all rows by the training members."""
        fields = [courses.members[name].equilibrium for name in courses.names(TRAINING)]
        space = StandardSpace.of(np.stack(fields), courses.grid)
        every = courses.records(list(courses.members), space).until(max(YEARS))
        years = tuple(year for year in YEARS if year in every.years[1:])
        basis = span(every)
        found = {part: courses.names(part) for part in PARTS}
        place = {name: number for number, name in enumerate(courses.members)}
        records = {part: every.at([place[name] for name in names]) for part, names in found.items()}
        choices = Choices.of(records[TRAINING].projected(basis), years)
        return cls(courses, space, years, records, basis, choices)

    @cached_property
    def rows(self) -> dict[str, Prediction]:
        """The predictions by name."""
        return predictions(self.choices, self.space.levels)

    def predicted(self, row: str, part: str, year: int) -> FloatArray:
        """Equilibria `m v` of the members of a part from their first years.

        Each training member is predicted from the others.
        """
        whole = row == LEVELS
        training, at = (
            records.until(year) if whole else records.until(year).projected(self.basis)
            for records in (self.records[TRAINING], self.records[part])
        )
        predict = self.rows[row]
        found = left_out(predict, training) if part == TRAINING else predict(training, at)
        return found if whole else found @ self.basis

    def weights(self, year: int) -> dict[str, float]:
        """Weights of the averaged rows, by name."""
        mean = WeightedMean([self.rows[row] for row in AVERAGED])
        training = self.records[TRAINING].until(year).projected(self.basis)
        return dict(zip(AVERAGED, mean.weights(training).round(3).tolist(), strict=True))


def report(study: PartialStudy, networks: Mapping[str, Predictor]) -> dict[str, Any]:
    """All results, ready for JSON.

    networks: further rows by name, which predict members that they were not trained with
    """
    rows: dict[str, Predictor] = {row: partial(study.predicted, row) for row in study.rows}
    parts = {part: study.courses.names(part) for part in PARTS}
    ages = study.records[TRAINING].ages
    return {
        "kind": "partial",
        "missing": study.courses.missing,
        "parts": parts,
        "equilibrium_ages": [float(ages[0]), float(ages[-1])],
        "years": study.years,
        "forms": study.choices.scores,
        "chosen": {row: form.name for row, form in study.choices.forms.items()},
        "weights": {str(year): study.weights(year) for year in study.years},
        "errors": {
            str(year): {
                row: {
                    part: _errors(study, predicted(part, year), part, year)
                    for part, names in parts.items()
                    if names and not (part == TRAINING and row in networks)
                }
                for row, predicted in (rows | dict(networks)).items()
            }
            for year in study.years
        },
        "provenance": provenance(seeds={}),
    }


def _networks(
    study: PartialStudy, path: Path, seeds: int, samples: int | None
) -> dict[str, Predictor]:
    """The rows of the networks of an experiment."""
    from configs.found import load_run
    from studies.partial.network import network_rows

    shorter = [] if samples is None else ["--diffusion.training.samples", str(samples)]
    run = load_run(path, shorter)
    return dict(network_rows(study, run, folder=run.directory / "partial", seeds=seeds))


def _errors(study: PartialStudy, predicted: FloatArray, part: str, year: int) -> dict[str, Any]:
    """Errors of T and S by range of depth, and what they are worth: each a list over members.

    predicted: equilibria `m v` of the members of a part
    """
    courses = [study.courses.members[name] for name in study.courses.names(part)]
    errors = study.space.fields(predicted) - np.stack([one.equilibrium for one in courses])
    temperature, salinity = (_by_depth(study, errors[:, field]) for field in (0, 1))
    worth = [
        course.years_on(error, year)
        for course, error in zip(courses, temperature[ALL_DEPTHS], strict=True)
    ]
    return {
        "standardised": rms(predicted - study.records[part].equilibrium).round(DIGITS).tolist(),
        "temperature_K": temperature,
        "salinity": salinity,
        "years_on": [round(years, 1) for years, _ in worth],
        "reached": [reached for _, reached in worth],
    }


def _by_depth(study: PartialStudy, errors: FloatArray) -> dict[str, list[float]]:
    """Rms of `errors` `m z y x` by range of depth, a list over members."""
    by_member = [rms_by_range(error, study.courses.grid) for error in errors]
    return {depths: [round(one[depths], DIGITS) for one in by_member] for depths in by_member[0]}
