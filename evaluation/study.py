"""The integration study of an experiment: which states start the basin, and under which forcing."""

from __future__ import annotations

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
from latent_diffusion.sample import row_path, sample_rows

GENERATED = "generated"
ANALYTIC = "analytic"


def integration_study(experiment: Experiment) -> IntegrationResult:
    """Integrate generated, true and analytic states as the configuration says; resumes by itself.

    Generated state k runs with the parameters of the ensemble member whose training state is
    nearest to it, from that state's season on; true state k is a test state of that member and
    season, under the same forcing. The analytic state takes the same members in turn.
    """
    settings = integration_settings(experiment)
    sample_rows(experiment)
    archive = StateArchive.open(experiment.data.archive)
    samples = StateArchive.open(row_path(experiment, "guided_adjusted"))
    generated = _first_states(samples, settings.members)
    nearest = nearest_training_states(generated, archive)
    members, seasons = archive.member[nearest], archive.time[nearest] % 1
    truth = archive.read(_test_states(archive, members, seasons))
    starts: dict[str, Sequence[Start]] = {
        TRUTH: starts_of(truth),
        GENERATED: starts_of(generated),
        ANALYTIC: [None] * settings.analytic_members,
    }
    return integrate_states(
        {label: states for label, states in starts.items() if states},
        parameters=member_parameters(experiment, members),
        years=settings.years,
        seed=settings.seed,
        start_year=first_free_year(experiment) + seasons,
        directory=experiment.run_directory / "integration",
        workers=settings.workers,
        velocities=settings.velocities,
    )


def nearest_training_states(states: State, archive: StateArchive) -> NDArray[np.int64]:
    """Index in the archive `b` of the training state that comes nearest to each state."""
    indices = archive.indices("train")
    _, nearest = nearest_neighbours(states, archive.read(indices), archive.grid)
    return indices[nearest.numpy()]


def summary(result: IntegrationResult) -> dict[str, object]:
    """The figures of a study for `metrics.json`: the generated states', and every start's."""
    by_start = result.summary()
    generated = by_start[GENERATED]
    keys = ("members", "years", "blown_up", "drift_ratio_to_truth")
    return {**{key: generated[key] for key in keys}, "by_start": by_start}


def integration_settings(experiment: Experiment) -> IntegrationSettings:
    """How the experiment integrates; raises UserError if it names no model to integrate in."""
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


def _test_states(
    archive: StateArchive, members: NDArray[np.int64], seasons: NDArray[np.float64]
) -> list[int]:
    """For each member and season (fraction of a year) the test state nearest in season.

    None is taken twice while another of its member is left.
    """
    test, chosen = archive.indices("test"), list[int]()
    for member, season in zip(members, seasons, strict=True):
        candidates = test[archive.member[test] == member]
        fresh = candidates[~np.isin(candidates, chosen)]
        candidates = fresh if fresh.size else candidates
        apart = np.abs((archive.time[candidates] - season + 0.5) % 1 - 0.5)
        chosen.append(int(candidates[apart.argmin()]))
    return chosen


def starts_of(states: State) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Temperature [degC] and salinity [g/kg] `z y x` of each state, for `integrate_states`."""
    return [
        (temperature.double().numpy(), salinity.double().numpy())
        for temperature, salinity in zip(states.temperature, states.salinity, strict=True)
    ]


def member_parameters(experiment: Experiment, members: NDArray[np.int64]) -> list[BasinParameters]:
    """The basin's parameters for each of some members of the simulated ensemble."""
    assert experiment.data.simulation is not None
    settings = experiment.data.simulation.members
    return [settings[member].parameters for member in members]


def first_free_year(experiment: Experiment) -> float:
    """The first model year after all recorded ones."""
    assert experiment.data.simulation is not None
    simulation = experiment.data.simulation
    recorded = simulation.adjust_years + simulation.record_years
    return float(np.ceil(simulation.spin_up_years + recorded))
