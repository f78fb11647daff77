"""The integration study of an experiment: start states of the basin and their forcing.

The held-out states define the conditions. Member k of every label runs with the parameters of the
ensemble member of held-out state k, starts in the season of that state, and is forced by the
anomalies of seed + k, which are independent of all archived states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from configs.run import Run
from configs.stages import sample, sample_rows
from data.archive.reader import StateArchive
from data.basin.forcing import BasinParameters
from data.errors import UserError
from data.state import State
from evaluation.metrics.distances import nearest_neighbours
from integration.integrate import (
    Conditions,
    IntegrationResult,
    Integrations,
    Start,
    Starts,
    finished,
    integrate_states,
)
from integration.settings import IntegrationSettings, StartSettings

GENERATED = "generated"
OTHER_MEMBER = 10.0  # years; cost of a different ensemble member, more than any season's


def integration_study(run: Run, *, only: Sequence[str] = ()) -> IntegrationResult:
    """Integrate the states of the configuration; resumes where it was interrupted.

    only: labels to integrate; default: all. Raises `UserError` for an unknown label.
    """
    settings = integration_settings(run)
    integrate_states(planned(run, only=only), workers=settings.workers)
    return finished_study(run)


def finished_study(run: Run) -> IntegrationResult:
    """The finished runs of the labels whose states have been generated."""
    starts = integration_settings(run).starts
    drawn = [label for label in starts if _is_drawn(run, label)]
    return finished(planned(run, only=drawn))


def planned(run: Run, *, only: Sequence[str] = ()) -> Integrations:
    """The study's starts and conditions; generates missing states."""
    settings = integration_settings(run)
    unknown = sorted(set(only) - set(settings.starts))
    if unknown:
        raise UserError(
            f"the study has no starts {', '.join(unknown)}; it has {', '.join(settings.starts)}"
        )
    chosen = {name: kind for name, kind in settings.starts.items() if name in only or not only}
    # All labels count here, so that the conditions do not depend on the chosen ones.
    count = max(kind.members for kind in settings.starts.values())
    conditions = StartConditions.of(run, count)
    return Integrations(
        starts={
            label: Starts(
                _states(run, label, kind, conditions),
                kind.years,
                kind.long_members,
                kind.long_years,
            )
            for label, kind in chosen.items()
        },
        conditions=conditions.of_runs(run),
        directory=study_directory(run),
        velocities=settings.velocities,
        checkpoint_years=settings.checkpoint_years,
    )


def study_directory(run: Run) -> Path:
    """Directory of the study's runs."""
    return integration_settings(run).directory or run.directory / "integration"


@dataclass(frozen=True)
class StartConditions:
    """Held-out states `k`; member k of every label has the parameters and season of state k.

    index: position of each state in the archive
    """

    archive: StateArchive
    index: NDArray[np.int64]

    @classmethod
    def of(cls, run: Run, count: int) -> StartConditions:
        """`count` held-out states, cycling through the members, spread over years and seasons.

        Raises `UserError` if there are fewer.
        """
        archive = run.archive
        test = archive.indices("test")
        if len(test) < count:
            raise UserError(
                f"{archive.path} has {len(test)} held-out states, but the study needs {count}; "
                "reduce the members of integration.starts"
            )
        return cls(archive, _spread(test, archive.member[test], count))

    @property
    def member(self) -> NDArray[np.int64]:
        """The ensemble member of each state."""
        return self.archive.member[self.index]

    @property
    def season(self) -> NDArray[np.float64]:
        """Time of the year of each state [years, 0 to 1]."""
        return self.archive.time[self.index] % 1

    @cached_property
    def states(self) -> State:
        """The held-out states."""
        return self.archive.read(self.index)

    def of_runs(self, run: Run) -> list[Conditions]:
        """Parameters, forcing seed and start year of the runs of each index."""
        seed = integration_settings(run).seed
        parameters = member_parameters(run, self.member)
        years = first_free_year(run) + self.season
        return [
            Conditions(parameters[k], seed + k, float(years[k])) for k in range(len(self.index))
        ]


def matching_samples(samples: State, conditions: StartConditions, count: int) -> NDArray[np.int64]:
    """Index of the sample that runs under each of the first `count` conditions, `k`.

    A sample inherits ensemble member and season from its nearest training state. The assignment
    matches as many ensemble members as possible, then minimises the differences in season.
    """
    nearest = nearest_training_states(samples, conditions.archive)
    member, season = conditions.archive.member[nearest], conditions.archive.time[nearest] % 1
    difference = np.abs((season - conditions.season[:count, None] + 0.5) % 1 - 0.5)
    cost = difference + OTHER_MEMBER * (member != conditions.member[:count, None])
    return linear_sum_assignment(cost)[1]


def nearest_training_states(states: State, archive: StateArchive) -> NDArray[np.int64]:
    """Archive index `b` of the training state nearest to each state."""
    indices = archive.indices("train")
    _, nearest = nearest_neighbours(states, archive.read(indices), archive.grid)
    return indices[nearest.numpy()]


def summary(result: IntegrationResult) -> dict[str, object]:
    """Results of a study for `metrics.json`: of the generated states and of every label."""
    by_start = result.summary()
    generated = by_start.get(GENERATED, {})
    keys = ("members", "years", "blown_up", "drift_ratio_to_truth")
    return {**{key: generated.get(key) for key in keys}, "by_start": by_start}


def integration_settings(run: Run) -> IntegrationSettings:
    """The section `integration`; raises `UserError` if the experiment has no ocean model."""
    if run.settings.integration is None or run.settings.data.simulation is None:
        raise UserError(
            f"{run.settings.name} has no ocean model to integrate; add the sections integration "
            "and data.simulation, as in configs/quickstart.yaml"
        )
    return run.settings.integration


def _states(
    run: Run, label: str, kind: StartSettings, conditions: StartConditions
) -> Sequence[Start]:
    archive, count = conditions.archive, kind.members
    if kind.states == "analytic":
        return [None] * count
    if kind.states == "generated":
        return starts_of(_generated(run, label, kind, conditions))
    if kind.states == "training_mean":
        return starts_of(training_mean(archive)) * count
    held_out = conditions.states.map(lambda field: field[:count])
    if kind.states == "nearest_training":
        return starts_of(archive.read(nearest_training_states(held_out, archive)))
    return starts_of(held_out)


def training_mean(archive: StateArchive) -> State:
    """The mean of all training states, as one state."""
    states = archive.read(archive.indices("train"))
    return states.map(lambda field: field.double().mean(dim=0, keepdim=True))


def _generated(run: Run, label: str, kind: StartSettings, conditions: StartConditions) -> State:
    """The samples of a label that match the conditions; generated if they do not exist yet."""
    if kind.guidance is None:
        sample_rows(run)
    else:
        sample(run.with_settings(guidance=kind.guidance), output=_sample_path(run, label))
    archive = StateArchive.open(_sample_path(run, label))
    if len(archive) < kind.members:
        raise UserError(
            f"{archive.path} has {len(archive)} states, but the study needs {kind.members}; "
            "generate more with --sampling.members"
        )
    samples = archive.read(range(len(archive)))
    chosen = torch.from_numpy(matching_samples(samples, conditions, kind.members))
    return samples.map(lambda field: field[chosen])


def _sample_path(run: Run, label: str) -> Path:
    kind = integration_settings(run).starts[label]
    if kind.guidance is None:
        return run.samples("guided_adjusted")
    return study_directory(run) / "samples" / f"{label}.zarr"


def _is_drawn(run: Run, label: str) -> bool:
    kind = integration_settings(run).starts[label]
    return kind.states != "generated" or _sample_path(run, label).exists()


def _spread(test: NDArray[np.int64], member: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of the states `test`, cycling through members, far apart in time within each."""
    members = np.unique(member)
    rounds = -(-count // len(members))
    chosen = list[int]()
    for k in range(count):
        turn, which = divmod(k, len(members))
        own = test[member == members[which]]
        # Shifted by one state per member, or all members would start in the same season.
        chosen.append(int(own[((2 * turn + 1) * len(own) // (2 * rounds) + which) % len(own)]))
    return np.array(chosen)


def starts_of(states: State) -> list[Start]:
    """Temperature [degC] and salinity [g/kg] `z y x` of each state."""
    return [
        (temperature.double().numpy(), salinity.double().numpy())
        for temperature, salinity in zip(states.temperature, states.salinity, strict=True)
    ]


def member_parameters(run: Run, members: NDArray[np.int64]) -> list[BasinParameters]:
    """The basin's parameters of these members of the simulated ensemble."""
    assert run.settings.data.simulation is not None
    settings = run.settings.data.simulation.members
    return [settings[member].parameters for member in members]


def first_free_year(run: Run) -> float:
    """The first model year after the recorded period."""
    assert run.settings.data.simulation is not None
    simulation = run.settings.data.simulation
    recorded = simulation.adjust_years + simulation.record_years
    return float(np.ceil(simulation.spin_up_years + recorded))
