"""Run a perturbed-parameter ensemble of the basin; finished members are kept one file each.

The whole adjustment of a member is recorded: snapshots at its record times, the mean of each
year on each level, and the mean fields of the years that end at early records. An interrupted
member continues from its last checkpoint; a finished one is never run again. A member that diverges
or oscillates at the grid scale is integrated again from its start with half the tracer step.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data.basin.design import REFERENCE, EnsembleSettings, PlannedMember
from data.basin.forcing import BasinParameters
from data.basin.member_files import MemberRecord, read_end, stored_plan, write_member
from data.basin.oscillation import STATES, oscillates
from data.basin.workers import Report, require_veros, run_side_by_side
from data.errors import UserError
from data.regrid import Regridding
from data.state import State

if TYPE_CHECKING:
    from data.basin.run import BasinRun

CHECKPOINT = "checkpoint.npz"
POLL_SECONDS = 5.0
ROUNDING = 1e-6  # years
SECONDS_PER_YEAR = 7.7  # of one core, on the grid of configs/ensemble.yaml
FloatArray = NDArray[np.float64]


class _Task(BaseModel):
    """One integration, picklable for a spawned worker."""

    model_config = ConfigDict(frozen=True)

    name: str
    parameters: BasinParameters
    seed: int
    start: Path  # the finished parent, or the state that the reference run starts from
    start_year: float | None  # model year of the start, if it is not that of the state
    record_times: tuple[float, ...]  # years after the start
    mean_years: tuple[int, ...]
    directory: Path
    finished: Path
    checkpoint_years: int
    plan: str

    @property
    def years(self) -> int:
        """Whole years to the last record."""
        return math.ceil(self.record_times[-1] - ROUNDING)

    @property
    def with_half_step(self) -> _Task:
        """The same integration with half the tracer step, in a folder of its own."""
        step = {"tracer_step_days": self.parameters.tracer_step_days / 2}
        parameters = self.parameters.model_copy(update=step)
        folder = self.directory / "half_step"
        return self.model_copy(update={"parameters": parameters, "directory": folder})


def run_ensemble(settings: EnsembleSettings, *, directory: Path, workers: int) -> None:
    """Run every member that is not finished, `workers` at a time; resumes by itself.

    directory: of checkpoints and records of unfinished members. Raises `UserError` if Veros is not
    installed, the start state is missing, a member was simulated with other settings, or one blows
    up.
    """
    require_veros()
    if workers < 1:
        raise UserError(f"{workers} members at a time cannot run; give --workers 1 or more")
    members = unfinished(settings, [settings.reference, *settings.recorded])
    # Nothing waits for the continuations, so they come last.
    order = in_running_order(members, workers) + unfinished(settings, settings.continuations)
    tasks = [_task(settings, member, directory) for member in order]
    if tasks:
        run_side_by_side(_integrate, tasks, workers=workers, label="ensemble")


def work_left(settings: EnsembleSettings) -> str:
    """How much of the ensemble is still to be simulated, and about how long it takes.

    Raises `UserError` as `unfinished` does.
    """
    members = unfinished(settings, [settings.reference, *settings.planned])
    if not members:
        return f"all members are finished in {settings.finished}"
    years = sum(member.record_times[-1] for member in members)
    hours = years * SECONDS_PER_YEAR / 3600
    return (
        f"{len(members)} integrations of {years:,.0f} model years, at 2.5 degrees about "
        f"{hours:.2g} hours of one core"
    )


def in_running_order(members: Sequence[PlannedMember], workers: int) -> list[PlannedMember]:
    """`members` so that few of `workers` wait: those whose parent was placed first come first."""
    waiting, order = list(members), list[PlannedMember]()
    while waiting:
        pending = {member.name for member in waiting}
        place = {member.name: index for index, member in enumerate(order)}
        ready = [member for member in waiting if member.parent not in pending]
        order += sorted(ready, key=lambda member: place.get(member.parent, -1))[:workers]
        waiting = [member for member in waiting if member not in order]
    return order


def finished_file(settings: EnsembleSettings, name: str) -> Path:
    """Where a finished member is kept."""
    return settings.finished / f"{name}.npz"


def unfinished(settings: EnsembleSettings, members: Sequence[PlannedMember]) -> list[PlannedMember]:
    """The members that have no finished file yet.

    Raises `UserError` for a finished file of other settings.
    """
    missing = []
    for member in members:
        path = finished_file(settings, member.name)
        if not path.exists():
            missing.append(member)
        elif stored_plan(path) != plan_of(settings, member):
            raise UserError(
                f"{path} was simulated with other settings; set data.ensemble.finished to another "
                "folder, or remove the file to simulate the member again"
            )
    return missing


def plan_of(settings: EnsembleSettings, member: PlannedMember) -> str:
    """The plan of a member, which its record must share. Raises `UserError` without start state."""
    if member.parent:
        return member.plan()
    start = settings.stored_start
    if not start.is_file():
        raise UserError(f"{start}, the start state of the ensemble, does not exist")
    digest = hashlib.sha256(start.read_bytes()).hexdigest()[:16]
    year = settings.start_year
    return member.plan(start=digest if year is None else f"{digest} in {year:g}")


def _task(settings: EnsembleSettings, member: PlannedMember, directory: Path) -> _Task:
    is_reference = member.name == REFERENCE
    return _Task(
        name=member.name,
        parameters=member.parameters,
        seed=member.seed,
        start=settings.stored_start if is_reference else finished_file(settings, member.parent),
        start_year=settings.start_year if is_reference else None,
        record_times=member.record_times,
        mean_years=member.mean_years,
        directory=directory / member.name,
        finished=finished_file(settings, member.name),
        checkpoint_years=settings.checkpoint_years,
        plan=plan_of(settings, member),
    )


def _integrate(task: _Task, report: Report) -> None:
    """Run one task to its end, with half the tracer step if it diverges or oscillates."""
    from data.basin.run import BlowUp  # Veros must be imported in the worker only

    _wait_for(task.start, report)
    if not task.with_half_step.directory.exists():
        with suppress(BlowUp):
            _integrate_once(task, report)
            return
    try:
        _integrate_once(task.with_half_step, report)
    except BlowUp as error:
        raise UserError(f"{task.name}: {error}; narrow the ranges or shorten its steps.") from error


def _integrate_once(task: _Task, report: Report) -> None:
    """Run one task to its end from its last checkpoint, keeping its records.

    Raises `BlowUp` if it diverges or oscillates.
    """
    from data.basin.run import BasinRun

    try:
        run = BasinRun(task.parameters, seed=task.seed)
    except RuntimeError as error:  # Veros checks numerical stability when it is set up
        raise UserError(f"{task.name}: {error}") from error
    start_year = _start(run, task)
    record = MemberRecord(task.directory, run.grid(), plan=task.plan)
    checkpoint = task.directory / CHECKPOINT
    if checkpoint.exists():
        run.load(checkpoint)
    _advance(run, task, record, start_year, report)
    write_member(
        task.finished,
        record,
        run,
        start_year=start_year,
        tracer_step_days=task.parameters.tracer_step_days,
    )


def _wait_for(start: Path, report: Report) -> None:
    """The parent may still be running in another worker."""
    while not start.exists():
        report(0.0)
        time.sleep(POLL_SECONDS)


def _start(run: BasinRun, task: _Task) -> float:
    """Give the run its start state; returns the model year of the branching."""
    temperature, salinity, velocities, year = read_end(task.start)
    year = year if task.start_year is None else task.start_year
    run.set_year(year)
    if temperature.shape == run.grid().shape:
        run.set_state(temperature, salinity)
    else:
        run.set_state(*_on_grid_of(run, task, temperature, salinity))
        velocities = None
    if velocities is not None:
        run.set_velocities(*velocities)
    return year


def _on_grid_of(run: BasinRun, task: _Task, *fields: FloatArray) -> tuple[FloatArray, FloatArray]:
    """T and S `z y x` of the basin on the grid of its topography, as means over the run's cells."""
    from data.basin.run import BasinRun

    finer = BasinRun(task.parameters.unjoined, seed=task.seed).grid()
    if fields[0].shape != finer.shape:
        raise UserError(
            f"{task.start} has states of shape {fields[0].shape} (z, y, x): expected "
            f"{run.grid().shape}, or {finer.shape} of the topography; give another start"
        )
    given = State(*(torch.from_numpy(field)[None] for field in fields))
    means = Regridding(finer, run.grid())(given).state
    return means.temperature[0].numpy(), means.salinity[0].numpy()


def _advance(
    run: BasinRun, task: _Task, record: MemberRecord, start_year: float, report: Report
) -> None:
    """Step through whole years, with a stop at each record time."""
    for year in range(round(run.year - start_year) + 1, task.years + 1):
        means = _RunningMean(run)
        for stop in _stops(task.record_times, year):
            run.advance_to(start_year + stop, after_step=means.add)
            if np.isclose(task.record_times, stop).any():
                record.keep_snapshot(stop, *run.state())
                _refuse_oscillation(record, run)
        record.keep_year(
            year,
            *means.fields(),
            kinetic_energy=run.kinetic_energy(),
            with_fields=year in task.mean_years,
        )
        if year % task.checkpoint_years == 0 or year == task.years:
            run.save(task.directory / CHECKPOINT)
        report(year)


def _refuse_oscillation(record: MemberRecord, run: BasinRun) -> None:
    """Raise `BlowUp` if the last snapshots oscillate."""
    from data.basin.run import BlowUp

    if oscillates(record.last_temperatures(STATES), record.grid):
        raise BlowUp(
            f"the basin oscillates from cell to cell in model year {run.year:.2f}, as it does with "
            "tracer steps that are too long"
        )


def _stops(record_times: Sequence[float], year: int) -> list[float]:
    """The record times within the year that ends at `year`, and its end."""
    return [t for t in record_times if year - 1 + ROUNDING < t < year - ROUNDING] + [float(year)]


class _RunningMean:
    """Mean of T and S over the steps since it was made."""

    def __init__(self, run: BasinRun) -> None:
        self._run, self._steps = run, 0
        self._temperature, self._salinity = (np.zeros_like(field) for field in run.state())

    def add(self) -> None:
        temperature, salinity = self._run.state()
        self._temperature += temperature
        self._salinity += salinity
        self._steps += 1

    def fields(self) -> tuple[FloatArray, FloatArray]:
        return self._temperature / self._steps, self._salinity / self._steps
