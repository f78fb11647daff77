"""The integration study of an experiment: which states start the basin, and under which forcing.

The held-out states set the conditions: member k of every label runs with the parameters of the
ensemble member that held-out state k belongs to, from that state's season on, and under forcing
anomalies of seed + k, which no state has seen.
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
from evaluation.distances import nearest_neighbours
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
OTHER_MEMBER = 10.0  # years; more than any difference in season


def integration_study(run: Run, *, only: Sequence[str] = ()) -> IntegrationResult:
    """Integrate the states that the configuration names; resumes by itself.

    only: these labels; all if none is named. Raises `UserError` for a label that is not there.
    """
    settings = integration_settings(run)
    integrate_states(planned(run, only=only), workers=settings.workers)
    return finished_study(run)


def finished_study(run: Run) -> IntegrationResult:
    """What of the study is there, of the labels whose states have been drawn."""
    starts = integration_settings(run).starts
    drawn = [label for label in starts if _is_drawn(run, label)]
    return finished(planned(run, only=drawn))


def planned(run: Run, *, only: Sequence[str] = ()) -> Integrations:
    """The study's starts and conditions; draws what states are missing."""
    settings = integration_settings(run)
    unknown = sorted(set(only) - set(settings.starts))
    if unknown:
        raise UserError(
            f"the study has no starts {', '.join(unknown)}; it has {', '.join(settings.starts)}"
        )
    chosen = {name: kind for name, kind in settings.starts.items() if name in only or not only}
    # All labels count here, so that conditions do not depend on which are chosen.
    slots = Slots.of(run, max(kind.members for kind in settings.starts.values()))
    return Integrations(
        starts={label: _starts(run, label, kind, slots) for label, kind in chosen.items()},
        conditions=slots.conditions(run),
        directory=study_directory(run),
        velocities=settings.velocities,
        checkpoint_years=settings.checkpoint_years,
    )


def study_directory(run: Run) -> Path:
    """Where the study's runs are kept."""
    own = integration_settings(run).directory
    return own or run.directory / "integration"


@dataclass(frozen=True)
class Slots:
    """Held-out states `k`, whose parameters and seasons all labels share.

    index: in the archive; member: of the ensemble; season: fraction of a year
    """

    archive: StateArchive
    index: NDArray[np.int64]

    @classmethod
    def of(cls, run: Run, count: int) -> Slots:
        """`count` held-out states, the ensemble's members in turn, spread over years and seasons.

        Raises `UserError` if fewer are held out.
        """
        archive = run.archive
        test = archive.indices("test")
        if len(test) < count:
            raise UserError(
                f"{archive.path} holds out {len(test)} states and the study asks for {count}; "
                "set fewer members of integration.starts"
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
        """The held-out states themselves."""
        return self.archive.read(self.index)

    def conditions(self, run: Run) -> list[Conditions]:
        """Parameters, forcing and season of each."""
        seed = integration_settings(run).seed
        parameters = member_parameters(run, self.member)
        years = first_free_year(run) + self.season
        return [
            Conditions(parameters[k], seed + k, float(years[k])) for k in range(len(self.index))
        ]


def matching_samples(samples: State, slots: Slots, count: int) -> NDArray[np.int64]:
    """Which sample `k` is to run under the conditions of each of the first `count` slots.

    A sample's own conditions are those of the training state nearest to it. The assignment has as
    many samples of the slot's ensemble member as there are, then the nearest seasons.
    """
    nearest = nearest_training_states(samples, slots.archive)
    member, season = slots.archive.member[nearest], slots.archive.time[nearest] % 1
    apart = np.abs((season - slots.season[:count, None] + 0.5) % 1 - 0.5)
    cost = apart + OTHER_MEMBER * (member != slots.member[:count, None])
    return linear_sum_assignment(cost)[1]


def nearest_training_states(states: State, archive: StateArchive) -> NDArray[np.int64]:
    """Index in the archive `b` of the training state that comes nearest to each state."""
    indices = archive.indices("train")
    _, nearest = nearest_neighbours(states, archive.read(indices), archive.grid)
    return indices[nearest.numpy()]


def summary(result: IntegrationResult) -> dict[str, object]:
    """The figures of a study for `metrics.json`: the generated states', and every start's."""
    by_start = result.summary()
    generated = by_start.get(GENERATED, {})
    keys = ("members", "years", "blown_up", "drift_ratio_to_truth")
    return {**{key: generated.get(key) for key in keys}, "by_start": by_start}


def integration_settings(run: Run) -> IntegrationSettings:
    """How the experiment integrates; raises UserError if it names no model to integrate in."""
    if run.settings.integration is None or run.settings.data.simulation is None:
        raise UserError(
            f"{run.settings.name} names no model to integrate in; integration needs the "
            "sections integration and data.simulation, as in configs/quickstart.yaml"
        )
    return run.settings.integration


def _starts(run: Run, label: str, kind: StartSettings, slots: Slots) -> Starts:
    states = _states(run, label, kind, slots)
    return Starts(states, kind.years, kind.long_members, kind.long_years)


def _states(run: Run, label: str, kind: StartSettings, slots: Slots) -> Sequence[Start]:
    archive, count = slots.archive, kind.members
    if kind.states == "analytic":
        return [None] * count
    if kind.states == "generated":
        return starts_of(_drawn(run, label, kind, slots))
    if kind.states == "training_mean":
        return starts_of(training_mean(archive)) * count
    held_out = slots.states.map(lambda field: field[:count])
    if kind.states == "nearest_training":
        return starts_of(archive.read(nearest_training_states(held_out, archive)))
    return starts_of(held_out)


def training_mean(archive: StateArchive) -> State:
    """The mean of all training states, as one state."""
    states = archive.read(archive.indices("train"))
    return states.map(lambda field: field.double().mean(dim=0, keepdim=True))


def _drawn(run: Run, label: str, kind: StartSettings, slots: Slots) -> State:
    """The samples of a label that suit the slots; drawn if they are not there yet."""
    if kind.guidance is None:
        sample_rows(run)
    else:
        sample(run.with_settings(guidance=kind.guidance), output=_sample_path(run, label))
    archive = StateArchive.open(_sample_path(run, label))
    if len(archive) < kind.members:
        raise UserError(
            f"{archive.path} has {len(archive)} states and the study asks for {kind.members}; "
            "sample more with --sampling.members"
        )
    samples = archive.read(range(len(archive)))
    chosen = torch.from_numpy(matching_samples(samples, slots, kind.members))
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
    """`count` of the states `test`: their members in turn, far apart in time within a member."""
    members = np.unique(member)
    rounds = -(-count // len(members))
    chosen = list[int]()
    for k in range(count):
        turn, which = divmod(k, len(members))
        own = test[member == members[which]]
        # One step further for each member: else all would start in the same season.
        chosen.append(int(own[((2 * turn + 1) * len(own) // (2 * rounds) + which) % len(own)]))
    return np.array(chosen)


def starts_of(states: State) -> list[Start]:
    """Temperature [degC] and salinity [g/kg] `z y x` of each state, for `integrate_states`."""
    return [
        (temperature.double().numpy(), salinity.double().numpy())
        for temperature, salinity in zip(states.temperature, states.salinity, strict=True)
    ]


def member_parameters(run: Run, members: NDArray[np.int64]) -> list[BasinParameters]:
    """The basin's parameters for each of some members of the simulated ensemble."""
    assert run.settings.data.simulation is not None
    settings = run.settings.data.simulation.members
    return [settings[member].parameters for member in members]


def first_free_year(run: Run) -> float:
    """The first model year after all recorded ones."""
    assert run.settings.data.simulation is not None
    simulation = run.settings.data.simulation
    recorded = simulation.adjust_years + simulation.record_years
    return float(np.ceil(simulation.spin_up_years + recorded))
