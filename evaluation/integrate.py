"""A-posteriori test: let the ocean model itself integrate from each state and watch it drift.

Every start begins with its temperature and salinity, under the same forcing, and either from the
same velocities, the model's own cold start (at rest but for a flow of about 1 cm/s, the first
guess of its solver), or from those in balance with its temperature and salinity. A run's result is
saved as it ends, so an interrupted study continues with the runs that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data.basin_forcing import DAYS_PER_YEAR, BasinParameters
from data.errors import UserError
from data.simulation_archive import EQUATION_OF_STATE
from data.state import State
from data.whole import whole
from data.workers import Report, require_veros, run_side_by_side
from guidance.balance import balanced_velocities
from guidance.seawater import equation_of_state

FloatArray = NDArray[np.float64]
Start = tuple[FloatArray, FloatArray] | None  # T [degC], S [g/kg], `z y x`; None: analytic state
FirstVelocities = Literal["rest", "balanced"]
RECORD_DAYS = 30.0
TRUTH = "truth"
TEMPERATURE_RANGE = (-5.0, 45.0)  # degC; a run outside has diverged, finite or not
SALINITY_RANGE = (0.0, 60.0)  # g/kg


@dataclass(frozen=True)
class MemberRun:
    """What one integration recorded, at times `t` and levels `z` (surface first).

    time `t`: years after the start; temperature `t z` [degC] and salinity `t z` [g/kg]: horizontal
    means; kinetic_energy `t`: volume mean [m2/s2]; level_volume `z`: wet volume [m3]; depth,
    thickness `z` [m]; blow_up_year: years after the start at which the run diverged or
    left the ranges of any ocean, None if it held.
    """

    label: str
    index: int
    time: FloatArray
    temperature: FloatArray
    salinity: FloatArray
    kinetic_energy: FloatArray
    level_volume: FloatArray
    depth: FloatArray
    thickness: FloatArray
    blow_up_year: float | None

    @property
    def held(self) -> bool:
        """Whether the run reached its end."""
        return self.blow_up_year is None

    @property
    def mean_temperature(self) -> FloatArray:
        """Volume-mean temperature `t` [degC]."""
        return self.temperature @ (self.level_volume / self.level_volume.sum())

    @property
    def mean_salinity(self) -> FloatArray:
        """Volume-mean salinity `t` [g/kg]."""
        return self.salinity @ (self.level_volume / self.level_volume.sum())

    @property
    def drift(self) -> float:
        """Thickness-weighted rms over levels of the change of level-mean T, start to end [K]."""
        change = self.temperature[-1] - self.temperature[0]
        weights = self.thickness * (self.level_volume > 0)
        return float(np.sqrt((change**2 * weights).sum() / weights.sum()))


@dataclass(frozen=True)
class IntegrationResult:
    """All runs of a study; `years` is the length that was asked for."""

    runs: list[MemberRun]
    years: float

    @property
    def labels(self) -> list[str]:
        """Labels in the order of their first run."""
        return list(dict.fromkeys(run.label for run in self.runs))

    def of(self, label: str) -> list[MemberRun]:
        """The runs of a label."""
        return [run for run in self.runs if run.label == label]

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Per label, means over the runs that held; None where there is none (ready for JSON).

        drift_K: see `MemberRun.drift`; drift_ratio_to_truth: against the label "truth", None if
        that label is missing or does not drift.
        """
        truth = _mean_drift(self.of(TRUTH))
        return {label: self._summary_of(label, truth) for label in self.labels}

    def _summary_of(self, label: str, truth: float | None) -> dict[str, float | int | None]:
        runs = self.of(label)
        held = [run for run in runs if run.held]
        drift = _mean_drift(runs)
        return {
            "members": len(runs),
            "years": self.years,
            "blown_up": len(runs) - len(held),
            "drift_K": drift,
            "drift_ratio_to_truth": drift / truth if drift is not None and truth else None,
            "mean_temperature_drift_K": _mean([_change(run.mean_temperature) for run in held]),
            "mean_salinity_drift": _mean([_change(run.mean_salinity) for run in held]),
            "final_kinetic_energy_m2_s2": _mean([run.kinetic_energy[-1] for run in held]),
        }


def integrate_states(
    starts: dict[str, Sequence[Start]],
    *,
    parameters: BasinParameters | Sequence[BasinParameters],
    years: float,
    seed: int,
    start_year: float | Sequence[float] | FloatArray,
    directory: Path,
    workers: int,
    velocities: FirstVelocities = "rest",
    record_days: float = RECORD_DAYS,
) -> IntegrationResult:
    """Integrate every start of every label for `years` in the basin, `workers` at a time.

    starts: T [degC] and S [g/kg] `z y x` on the basin's grid, by label ("truth", "generated",
        ...); None in place of a pair is the basin's own analytic initial state
    parameters: of all runs, or one for each index within a label (so that members of different
        labels can be compared)
    seed: of the forcing anomalies of all runs
    start_year: model year at the start, of all runs or for each index within a label; its
        fraction is the season, so choose that of the states
    directory: one npz file for each finished run; a run of the same start and settings that is
        found there is not repeated
    velocities: of all starts, "rest" or "balanced": geostrophic and still at the sea floor, as
        `guidance.balance` finds them from the start's temperature and salinity
    record_days: interval of what is recorded [days]

    Raises `UserError` for starts that do not fit, or if Veros is not installed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tasks = _tasks(
        starts,
        parameters,
        start_year=start_year,
        common=_Common(years, seed, directory, velocities, record_days),
    )
    for task in tasks:
        _check(task)
    missing = [task for task in tasks if not task.path.exists()]
    if missing:
        require_veros()
        run_side_by_side(_integrate, missing, workers=workers, label="integrations")
    return IntegrationResult([_load(task.path) for task in tasks], years)


@dataclass(frozen=True)
class _Common:
    """What all integrations of a study share."""

    years: float
    seed: int
    directory: Path
    velocities: FirstVelocities
    record_days: float


@dataclass(frozen=True)
class _Task:
    """One integration, picklable for a spawned worker."""

    label: str
    index: int
    start: Start
    parameters: BasinParameters
    start_year: float
    common: _Common

    @property
    def years(self) -> float:
        """Length of the run."""
        return self.common.years

    @property
    def name(self) -> str:
        return f"{self.label}_{self.index:03d}"

    @property
    def fingerprint(self) -> str:
        """Equal for tasks that give the same result."""
        settings = [self.parameters.model_dump(), self.years, self.common.seed, self.start_year]
        settings += [self.common.velocities, self.common.record_days]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for field in self.start or ():
            digest.update(np.ascontiguousarray(field, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]

    @property
    def path(self) -> Path:
        return self.common.directory / f"{self.name}-{self.fingerprint}.npz"


def _tasks(
    starts: dict[str, Sequence[Start]],
    parameters: BasinParameters | Sequence[BasinParameters],
    *,
    start_year: float | Sequence[float] | FloatArray,
    common: _Common,
) -> list[_Task]:
    longest = max((len(members) for members in starts.values()), default=0)
    if isinstance(parameters, BasinParameters):
        parameters = [parameters] * longest
    start_years = np.atleast_1d(np.asarray(start_year, dtype=np.float64))
    if np.ndim(start_year) == 0:
        start_years = np.repeat(start_years, longest)
    for found, what in ((len(parameters), "sets of basin parameters"), (len(start_years), "years")):
        if found < longest:
            raise UserError(
                f"Found {found} {what} for {longest} starts; give one for all or one for each."
            )
    return [
        _Task(label, k, start, parameters[k], float(start_years[k]), common)
        for label, members in starts.items()
        for k, start in enumerate(members)
    ]


def _check(task: _Task) -> None:
    p = task.parameters
    expected = (p.levels, round(2 * p.northern_edge / p.resolution), round(p.width / p.resolution))
    if not task.label.isidentifier():
        raise UserError(f"The label {task.label!r} names files; use letters, digits and _.")
    for field in task.start or ():
        if np.shape(field) != expected:
            raise UserError(
                f"Start {task.name} has shape {np.shape(field)} (z, y, x), but the basin's grid is "
                f"{expected}; use states of this basin or other basin parameters."
            )
        if not np.isfinite(field).all():
            raise UserError(f"Start {task.name} has values that are not finite; fill land with 0.")


def _integrate(task: _Task, report: Report) -> None:
    """Run one task in this process and save what it recorded."""
    from data.basin_run import BasinRun, BlowUp  # Veros must be imported in the worker only

    run = BasinRun(task.parameters, seed=task.common.seed)
    run.set_year(task.start_year)
    if task.start is not None:
        run.set_state(*task.start)
    if task.common.velocities == "balanced":
        _balance(run)
    recorder = _Recorder(run)
    blow_up_year = None
    for year in _record_times(task.years, task.common.record_days):
        try:
            run.advance_to(task.start_year + year)
        except BlowUp:
            blow_up_year = run.year - task.start_year
            break
        if not recorder.record(year):
            blow_up_year = year
            break
        report(year)
    _save(recorder.result(task, blow_up_year), task)
    report(task.years)


def _balance(run) -> None:
    """Give a `BasinRun` the geostrophic flow of its temperature and salinity."""
    temperature, salinity = (torch.from_numpy(field)[None] for field in run.state())
    u, v = balanced_velocities(
        State(temperature, salinity), eos=equation_of_state(EQUATION_OF_STATE), grid=run.grid()
    )
    run.set_velocities(u[0].numpy(), v[0].numpy())


class _Recorder:
    """Collects horizontal means and kinetic energy of a `BasinRun`."""

    def __init__(self, run) -> None:
        geometry = run.geometry()
        self._run = run
        self._volume = run.wet_mask() * geometry["area"] * geometry["thickness"][:, None, None]
        self._depth, self._thickness = geometry["depth"], geometry["thickness"]
        self._series: list[tuple[float, FloatArray, FloatArray, float]] = []

    def record(self, year: float) -> bool:
        """Keep the means now; False, keeping nothing, where the solution is no ocean's."""
        fields = self._run.state()
        temperature, salinity = (self._level_means(field) for field in fields)
        energy = self._run.kinetic_energy()
        sound = bool(np.isfinite(energy)) and _plausible(*fields)
        if sound or not self._series:
            self._series.append((year, temperature, salinity, energy))
        return sound

    def result(self, task: _Task, blow_up_year: float | None) -> MemberRun:
        time, temperature, salinity, energy = (np.array(x) for x in zip(*self._series, strict=True))
        volume = self._volume.sum(axis=(1, 2))
        return MemberRun(
            task.label,
            task.index,
            time,
            temperature,
            salinity,
            energy,
            volume,
            self._depth,
            self._thickness,
            blow_up_year,
        )

    def _level_means(self, field: FloatArray) -> FloatArray:
        volume = self._volume.sum(axis=(1, 2))
        return (field * self._volume).sum(axis=(1, 2)) / np.where(volume > 0, volume, 1.0)


def _plausible(temperature: FloatArray, salinity: FloatArray) -> bool:
    """Whether all values lie within the ranges of any ocean; NaN does not. Land is 0."""
    ranges = ((temperature, TEMPERATURE_RANGE), (salinity, SALINITY_RANGE))
    return all(bool(((low <= field) & (field <= high)).all()) for field, (low, high) in ranges)


def _record_times(years: float, days: float) -> list[float]:
    """Years after the start at which means are kept: 0, every so many days, and the end."""
    regular = np.arange(0.0, years - 1e-9, days / DAYS_PER_YEAR)
    return [*regular.tolist(), years]


_ARRAYS = (
    "time",
    "temperature",
    "salinity",
    "kinetic_energy",
    "level_volume",
    "depth",
    "thickness",
)


def _save(result: MemberRun, task: _Task) -> None:
    blow_up_year = np.nan if result.blow_up_year is None else result.blow_up_year
    with whole(task.path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            label=result.label,
            index=result.index,
            blow_up_year=blow_up_year,
            **{name: getattr(result, name) for name in _ARRAYS},
        )


def _load(path: Path) -> MemberRun:
    with np.load(path, allow_pickle=False) as stored:
        blow_up_year = float(stored["blow_up_year"])
        return MemberRun(
            label=str(stored["label"]),
            index=int(stored["index"]),
            blow_up_year=None if np.isnan(blow_up_year) else blow_up_year,
            **{name: stored[name] for name in _ARRAYS},
        )


def _mean_drift(runs: list[MemberRun]) -> float | None:
    return _mean([run.drift for run in runs if run.held])


def _change(series: FloatArray) -> float:
    return float(series[-1] - series[0])


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
