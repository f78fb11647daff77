"""The integration study of an experiment: which states start the basin, and under which forcing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from configs import Experiment
from configs.schema import IntegrationSettings
from data.basin_forcing import BasinParameters
from data.errors import UserError
from data.state import State
from data.states import StateArchive
from evaluation.distances import nearest_neighbours
from evaluation.integrate import TRUTH, IntegrationResult, Start, integrate_states
from evaluation.rows import row_archive

GENERATED = "generated"
ANALYTIC = "analytic"


def integration_study(experiment: Experiment) -> IntegrationResult:
    """Integrate generated, true and analytic states as the configuration says; resumes by itself.

    Generated state k runs with the parameters of the ensemble member whose training state is
    nearest to it; true state k is a test state of that member, under the same forcing. The
    analytic state takes the same members in turn.
    """
    settings = _settings(experiment)
    archive = StateArchive.open(experiment.data.archive)
    generated = _first_states(row_archive(experiment, "guided_adjusted"), settings.members)
    members = nearest_members(generated, archive)
    truth = archive.read(_test_states(archive, members))
    starts: dict[str, Sequence[Start]] = {
        TRUTH: _starts(truth),
        GENERATED: _starts(generated),
        ANALYTIC: [None] * settings.analytic_members,
    }
    return integrate_states(
        {label: states for label, states in starts.items() if states},
        parameters=_parameters(experiment, members),
        years=settings.years,
        seed=settings.seed,
        start_year=_start_year(experiment),
        directory=experiment.run_directory / "integration",
        workers=settings.workers,
    )


def nearest_members(states: State, archive: StateArchive) -> NDArray[np.int64]:
    """The ensemble member `b` whose training states come nearest to each state."""
    indices = archive.indices("train")
    _, nearest = nearest_neighbours(states, archive.read(indices), archive.grid)
    return archive.member[indices[nearest.numpy()]]


def summary(result: IntegrationResult) -> dict[str, object]:
    """The figures of a study for `metrics.json`: the generated states', and every start's."""
    by_start = result.summary()
    generated = by_start[GENERATED]
    keys = ("members", "years", "blown_up", "drift_ratio_to_truth")
    return {**{key: generated[key] for key in keys}, "by_start": by_start}


def _settings(experiment: Experiment) -> IntegrationSettings:
    if experiment.integration is None or experiment.data.simulation is None:
        raise UserError(
            f"{experiment.name} names no model to integrate in; integration needs the "
            "sections integration and data.simulation, as in configs/quickstart.yaml"
        )
    return experiment.integration


def _first_states(archive: StateArchive, count: int) -> State:
    if len(archive) < count:
        raise UserError(
            f"{archive.path} has {len(archive)} states and the study asks for {count}; "
            "sample more with --sampling.members"
        )
    return archive.read(range(count))


def _test_states(archive: StateArchive, members: NDArray[np.int64]) -> list[int]:
    """A test state of each member asked for, spread over the test years, none twice."""
    test = archive.indices("test")
    supply = {
        member: itertools.cycle(_spread(test[archive.member[test] == member]))
        for member in np.unique(members)
    }
    return [int(next(supply[member])) for member in members]


def _spread(indices: NDArray[np.int64]) -> Sequence[int]:
    """Every third, then the ones between: consecutive picks are far apart in time."""
    return np.concatenate([indices[offset::3] for offset in range(3)]).tolist()


def _starts(states: State) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    return [
        (temperature.double().numpy(), salinity.double().numpy())
        for temperature, salinity in zip(states.temperature, states.salinity, strict=True)
    ]


def _parameters(experiment: Experiment, members: NDArray[np.int64]) -> list[BasinParameters]:
    assert experiment.data.simulation is not None
    settings = experiment.data.simulation.members
    return [settings[member].parameters for member in members]


def _start_year(experiment: Experiment) -> float:
    """After all recorded years, so that the forcing anomalies are new to every state."""
    assert experiment.data.simulation is not None
    simulation = experiment.data.simulation
    return float(
        np.ceil(simulation.spin_up_years + simulation.adjust_years + simulation.record_years)
    )
