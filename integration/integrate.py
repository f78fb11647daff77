"""A-posteriori test: integrate the ocean model from each state and measure the drift.

Runs of equal index have the same forcing and differ in their start state. Initial velocities are
either those of the model's cold start (about 1 cm/s, the first guess of its solver) or geostrophic.
Runs are saved every few simulated years and resume bit for bit after an interruption.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data.basin.forcing import DAYS_PER_YEAR, EQUATION_OF_STATE, BasinParameters
from data.basin.workers import Report, require_veros, run_side_by_side
from data.errors import UserError
from data.state import State
from guidance.balance import balanced_velocities
from guidance.seawater import equation_of_state
from integration.member_run import ROUNDING, MemberRun, load_arrays, load_run, save_run
from integration.recording import Recorder

if TYPE_CHECKING:
    from data.basin.run import BasinRun

FloatArray = NDArray[np.float64]
Start = tuple[FloatArray, FloatArray] | None  # T [degC], S [g/kg], `z y x`; None: analytic state
FirstVelocities = Literal["rest", "balanced"]
RECORD_DAYS = 30.0
CHECKPOINT_YEARS = 2.0
TRUTH = "truth"
RECORD = "record.npz"


@dataclass(frozen=True)
class Conditions:
    """Conditions of a run, shared by runs of equal index under different labels.

    seed: random seed of the forcing anomalies; start_year: model year of the start, whose fraction
    should be the season of the state
    """

    parameters: BasinParameters
    seed: int
    start_year: float


@dataclass(frozen=True)
class Starts:
    """Start states of a label; the first `long_members` continue to `long_years`."""

    states: Sequence[Start]
    years: float
    long_members: int = 0
    long_years: float = 0.0


@dataclass(frozen=True)
class Integrations:
    """A plan of integrations.

    starts: by label ("truth", "generated", ...), states on the basin's grid
    conditions: for each index within a label
    directory: holds one folder per run, named after its start and conditions; finished runs are not
        repeated
    velocities: initial velocities, "rest" or "balanced": geostrophic with no motion at the sea
        floor, from `guidance.balance`
    record_days: interval between records [days]
    checkpoint_years: interval between checkpoints [years]
    """

    starts: Mapping[str, Starts]
    conditions: Sequence[Conditions]
    directory: Path
    velocities: FirstVelocities = "rest"
    record_days: float = RECORD_DAYS
    checkpoint_years: float = CHECKPOINT_YEARS


@dataclass(frozen=True)
class IntegrationResult:
    """The finished integrations of a plan.

    runs: runs that reached the `years` of their label or diverged, cut at that length; long_runs:
    runs that continue beyond it, as far as they have been integrated
    """

    runs: list[MemberRun]
    years: Mapping[str, float]
    long_runs: list[MemberRun] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """Labels in the order of their first run."""
        return list(dict.fromkeys(run.label for run in self.runs))

    def of(self, label: str) -> list[MemberRun]:
        """The runs of a label."""
        return [run for run in self.runs if run.label == label]

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Means by label over the runs that survived, None without any; ready for JSON.

        drift_K: see `MemberRun.drift`; drift_ratio_to_truth: relative to the drift of the label
        "truth" over the same time, None if that label is missing, shorter or has no drift
        """
        return {label: self._summary_of(label) for label in self.labels}

    def _summary_of(self, label: str) -> dict[str, float | int | None]:
        runs, years = self.of(label), self.years[label]
        survived = [run for run in runs if run.survived]
        drift = _mean([run.drift for run in survived])
        truth = self._truth_drift(years)
        return {
            "members": len(runs),
            "years": years,
            "blown_up": len(runs) - len(survived),
            "drift_K": drift,
            "drift_ratio_to_truth": drift / truth if drift is not None and truth else None,
            "mean_temperature_drift_K": _mean([_change(run.mean_temperature) for run in survived]),
            "mean_salinity_drift": _mean([_change(run.mean_salinity) for run in survived]),
            "final_kinetic_energy_m2_s2": _mean([run.kinetic_energy[-1] for run in survived]),
        }

    def _truth_drift(self, years: float) -> float | None:
        if self.years.get(TRUTH, 0.0) < years - ROUNDING:
            return None
        runs = [run.until(years) for run in self.of(TRUTH)]
        return _mean([run.drift for run in runs if run.survived])


def integrate_states(study: Integrations, *, workers: int) -> IntegrationResult:
    """Integrate every start, `workers` at a time; interrupted runs resume.

    Runs are ordered by index, then by label; long runs come last. Raises `UserError` for starts of
    the wrong shape, or if Veros is not installed.
    """
    tasks, long_tasks = _tasks(study)
    for task in tasks:
        _check(task)
    for missing in (_unfinished(tasks), _unfinished(long_tasks)):
        if missing:
            require_veros()
            run_side_by_side(_integrate, missing, workers=workers, label="integrations")
    return finished(study)


def finished(study: Integrations) -> IntegrationResult:
    """The finished runs of a plan; integrates nothing."""
    tasks, long_tasks = _tasks(study)
    runs = [load_run(task.record).until(task.years) for task in tasks if task.done]
    started = [
        load_run(task.record).until(task.years) for task in long_tasks if task.record.exists()
    ]
    years = {label: starts.years for label, starts in study.starts.items()}
    long_runs = [run for run in started if run.years > years[run.label] + ROUNDING]
    return IntegrationResult(runs, years, long_runs)


@dataclass(frozen=True)
class _Task:
    """One integration, picklable for a spawned worker."""

    label: str
    index: int
    start: Start
    years: float
    conditions: Conditions
    directory: Path
    velocities: FirstVelocities
    record_days: float
    checkpoint_years: float
    continues: bool  # whether a long task continues this one

    @property
    def name(self) -> str:
        return f"{self.label}_{self.index:03d}"

    @property
    def fingerprint(self) -> str:
        """Hash of start and conditions; equal for a task and the long task that continues it."""
        c = self.conditions
        settings = [c.parameters.model_dump(exclude_none=True), c.seed, c.start_year]
        settings += [self.velocities, self.record_days]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for values in self.start or ():
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]

    @property
    def folder(self) -> Path:
        return self.directory / f"{self.name}-{self.fingerprint}"

    @property
    def record(self) -> Path:
        return self.folder / RECORD

    @property
    def done(self) -> bool:
        """Whether the run has reached its end or diverged."""
        if not self.record.exists():
            return False
        with np.load(self.record, allow_pickle=False) as stored:
            last, blow_up = float(stored["time"][-1]), float(stored["blow_up_year"])
        return last > self.years - ROUNDING or not np.isnan(blow_up)

    def checkpoint(self, year: float) -> Path:
        """Path of the model state that belongs to a record ending at `year`."""
        return self.folder / f"model_{year:010.5f}.npz"

    def end_state(self) -> Path:
        """Path of the final T [degC] and S [g/kg] `z y x`."""
        return self.folder / f"state_{self.years:g}.npz"


def _tasks(study: Integrations) -> tuple[list[_Task], list[_Task]]:
    """The tasks of regular length, ordered by index, and the long tasks."""
    longest = max((len(starts.states) for starts in study.starts.values()), default=0)
    if len(study.conditions) < longest:
        raise UserError(
            f"Found conditions for {len(study.conditions)} of {longest} starts; each needs its own."
        )
    tasks = [
        _task(study, label, k, long=False)
        for k in range(longest)
        for label, starts in study.starts.items()
        if k < len(starts.states)
    ]
    long_tasks = [
        _task(study, label, k, long=True)
        for label, starts in study.starts.items()
        for k in range(min(starts.long_members, len(starts.states)))
    ]
    return tasks, long_tasks


def _task(study: Integrations, label: str, index: int, *, long: bool) -> _Task:
    starts = study.starts[label]
    return _Task(
        label=label,
        index=index,
        start=starts.states[index],
        years=starts.long_years if long else starts.years,
        conditions=study.conditions[index],
        directory=study.directory,
        velocities=study.velocities,
        record_days=study.record_days,
        checkpoint_years=study.checkpoint_years,
        continues=not long and index < starts.long_members,
    )


def _unfinished(tasks: list[_Task]) -> list[_Task]:
    return [task for task in tasks if not task.done]


def _check(task: _Task) -> None:
    p = task.conditions.parameters
    expected = (p.levels, round(2 * p.northern_edge / p.resolution), round(p.width / p.resolution))
    if not task.label.isidentifier():
        raise UserError(
            f"The label {task.label!r} is part of file names; use letters, digits and _."
        )
    for values in task.start or ():
        if np.shape(values) != expected:
            raise UserError(
                f"Start {task.name} has shape {np.shape(values)} (z, y, x), but the basin's grid "
                f"is {expected}; use states of this basin or other basin parameters."
            )
        if not np.isfinite(values).all():
            raise UserError(f"Start {task.name} has non-finite values; set land to 0.")


def _integrate(task: _Task, report: Report) -> None:
    """Run one task in this process from its last checkpoint, and save its record."""
    from data.basin.run import BlowUp  # Veros must be imported in the worker only

    run, recorder = _begin(task)
    blow_up_year, next_save = None, max(recorder.year, 0.0) + task.checkpoint_years
    for year in _record_times(task.years, task.record_days):
        if year <= recorder.year + ROUNDING:
            continue
        started = time.process_time()
        try:
            run.advance_to(task.conditions.start_year + year)
        except BlowUp:
            blow_up_year = run.year - task.conditions.start_year
            break
        seconds = recorder.processor_seconds + time.process_time() - started
        if not recorder.record(year, processor_seconds=seconds):
            blow_up_year = year
            break
        report(year)
        if task.years - ROUNDING > year > next_save - ROUNDING:
            _save(task, run, recorder)
            next_save = year + task.checkpoint_years
    _finish(task, run, recorder, blow_up_year)
    report(task.years)


def _begin(task: _Task) -> tuple[BasinRun, Recorder]:
    """The run at its start or its last checkpoint, and its record so far."""
    from data.basin.run import BasinRun

    run = BasinRun(task.conditions.parameters, seed=task.conditions.seed)
    run.set_year(task.conditions.start_year)
    if task.start is not None:
        run.set_state(*task.start)
    if task.velocities == "balanced":
        _balance(run)
    recorder = Recorder(run)
    if task.record.exists():
        arrays = load_arrays(task.record)
        checkpoint = task.checkpoint(float(arrays["time"][-1]))
        if checkpoint.exists():
            run.load(checkpoint)
            recorder.restore(arrays)
    return run, recorder


def _balance(run: BasinRun) -> None:
    """Set the velocities in geostrophic balance with the run's temperature and salinity."""
    temperature, salinity = (torch.from_numpy(values)[None] for values in run.state())
    u, v = balanced_velocities(
        State(temperature, salinity), eos=equation_of_state(EQUATION_OF_STATE), grid=run.grid()
    )
    run.set_velocities(u[0].numpy(), v[0].numpy())


def _save(task: _Task, run: BasinRun, recorder: Recorder) -> None:
    """Write a checkpoint, then its record, then remove older checkpoints."""
    now = task.checkpoint(recorder.year)
    run.save(now)
    _save_record(task, run, recorder, blow_up_year=None)
    _remove_checkpoints(task, but=now)


def _finish(task: _Task, run: BasinRun, recorder: Recorder, blow_up_year: float | None) -> None:
    if blow_up_year is None and task.continues:
        _save(task, run, recorder)
    else:
        _save_record(task, run, recorder, blow_up_year)
        _remove_checkpoints(task)
    temperature, salinity = (values.astype(np.float32) for values in run.state())
    save_run(task.end_state(), {"thetao": temperature, "so": salinity})


def _remove_checkpoints(task: _Task, *, but: Path | None = None) -> None:
    for path in task.folder.glob("model_*.npz"):
        if path != but:
            path.unlink()


def _save_record(
    task: _Task, run: BasinRun, recorder: Recorder, blow_up_year: float | None
) -> None:
    grid = run.grid()
    arrays = {
        "label": task.label,
        "index": task.index,
        "blow_up_year": np.nan if blow_up_year is None else blow_up_year,
        "level_volume": grid.volume.sum(axis=(1, 2)),
        "depth": grid.depth,
        "thickness": run.geometry()["thickness"],
    }
    save_run(task.record, arrays | recorder.arrays())


def _record_times(years: float, days: float) -> list[float]:
    """Times of the records [years after the start]: 0, every `days` days, and the end."""
    interval = days / DAYS_PER_YEAR
    regular = interval * np.arange(np.ceil((years - ROUNDING) / interval))
    return [*regular.tolist(), years]


def _change(series: FloatArray) -> float:
    return float(series[-1] - series[0])


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
