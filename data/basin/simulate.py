"""Run an ensemble of the basin: spin up one member, branch the others, record states.

Every integration writes records as it reaches them and a checkpoint every few years, so an
interrupted ensemble resumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from data.atomic import atomic_write
from data.basin.forcing import DAYS_PER_YEAR, BasinParameters
from data.basin.workers import Report, require_veros, run_side_by_side
from data.errors import UserError
from data.settings import Section

if TYPE_CHECKING:
    from data.basin.run import BasinRun

CHECKPOINT = "checkpoint.npz"
SPIN_UP = "spin_up"  # folder of the spin-up
GRID_FIELDS = ("resolution", "levels", "depth", "surface_thickness", "width", "northern_edge")


class MemberSettings(BasinParameters):
    """One branch of the ensemble: its name, the seed of its forcing and its parameters."""

    name: str
    seed: int

    @property
    def parameters(self) -> BasinParameters:
        """The physical parameters alone."""
        return BasinParameters(**self.model_dump(exclude={"name", "seed"}))


class SimulationSettings(Section):
    """The whole ensemble."""

    spin_up: MemberSettings
    spin_up_years: float = Field(150.0, gt=0)
    members: list[MemberSettings] = Field(min_length=1)
    adjust_years: float = Field(
        30.0, ge=0, description="years of adjustment before the first record"
    )
    record_years: float = Field(42.0, gt=0, description="years over which states are recorded")
    record_interval_days: float = Field(150.0, gt=0)
    checkpoint_years: float = Field(2.0, gt=0)

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        names = [SPIN_UP, *(member.name for member in self.members)]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(
                f"two integrations are named {repeated[0]}: names are folders and must differ "
                f"({SPIN_UP} is reserved)"
            )
        for member in self.members:
            for field in GRID_FIELDS:
                mine, spun_up = getattr(member, field), getattr(self.spin_up, field)
                if mine != spun_up:
                    raise ValueError(
                        f"member {member.name} has {field} {mine:g}, but the spin-up {spun_up:g}: "
                        "a branch continues on the grid of the spin-up"
                    )
        return self

    @property
    def record_times(self) -> NDArray[np.float64]:
        """Model years at which a branch records a state, counted from the branching."""
        interval = self.record_interval_days / DAYS_PER_YEAR
        count = int(np.floor(self.record_years / interval + 1e-9))
        return np.asarray(self.adjust_years + interval * np.arange(1, count + 1), dtype=np.float64)


def run_ensemble(settings: SimulationSettings, *, directory: Path, workers: int) -> None:
    """Spin up and branch under `directory`, `workers` members at a time; resumes by itself.

    Raises `UserError` if `directory` holds an ensemble of other settings, Veros is not installed,
    or a member blows up.
    """
    require_veros()
    _claim(directory, settings)
    run_side_by_side(_integrate, [_spin_up_task(settings, directory)], workers=1, label="spin-up")
    tasks = [_branch_task(settings, member, directory) for member in settings.members]
    run_side_by_side(_integrate, tasks, workers=workers, label="members")


def records(member_directory: Path) -> list[Path]:
    """The stored records of a member, in time order."""
    return sorted((member_directory / "records").glob("*.npz"))


def _claim(directory: Path, settings: SimulationSettings) -> None:
    """Record the settings in `directory`. Raises UserError if others are recorded there."""
    note, content = directory / "settings.json", settings.model_dump_json(indent=2)
    if note.is_file() and note.read_text() != content:
        raise UserError(
            f"{directory} holds an ensemble of other settings (see {note.name}); "
            "set --run_directory to another path, or remove that folder"
        )
    with atomic_write(note) as partial:
        partial.write_text(content)


class _Task(BaseModel):
    """One integration, picklable for a spawned worker."""

    member: MemberSettings
    directory: Path
    start: Path | None  # checkpoint to branch from; None starts from the analytic state
    start_year: float
    record_times: list[float]  # years after the start
    years: float
    checkpoint_years: float

    @property
    def name(self) -> str:
        return self.member.name


def _spin_up_task(settings: SimulationSettings, directory: Path) -> _Task:
    return _Task(
        member=settings.spin_up,
        directory=directory / SPIN_UP,
        start=None,
        start_year=0.0,
        record_times=[float(year) for year in range(10, int(settings.spin_up_years) + 1, 10)],
        years=settings.spin_up_years,
        checkpoint_years=settings.checkpoint_years,
    )


def _branch_task(settings: SimulationSettings, member: MemberSettings, directory: Path) -> _Task:
    times = settings.record_times.tolist()
    return _Task(
        member=member,
        directory=directory / member.name,
        start=directory / SPIN_UP / CHECKPOINT,
        start_year=settings.spin_up_years,
        record_times=times,
        years=times[-1],
        checkpoint_years=settings.checkpoint_years,
    )


def _integrate(task: _Task, report: Report) -> None:
    """Run one task from its last checkpoint to its end, writing records."""
    from data.basin.run import BasinRun, BlowUp  # Veros must be imported in the worker only

    (task.directory / "records").mkdir(parents=True, exist_ok=True)
    checkpoint = task.directory / CHECKPOINT
    run = BasinRun(task.member.parameters, seed=task.member.seed)
    if checkpoint.exists():
        run.load(checkpoint)
    elif task.start is not None:
        run.load(task.start)

    checkpoint_times = _checkpoint_times(task)
    for year in sorted({*task.record_times, *checkpoint_times}):
        if run.year > task.start_year + year - 1e-6:
            continue
        try:
            run.advance_to(task.start_year + year)
        except BlowUp as error:
            raise UserError(
                f"{task.name}: {error}; change its parameters or shorten its steps."
            ) from error
        if _matches(year, task.record_times):
            _save_record(run, task, year)
        if _matches(year, checkpoint_times):
            run.save(checkpoint)
        report(year)
    report(task.years)


def _checkpoint_times(task: _Task) -> list[float]:
    """Years after the start: every `checkpoint_years`, and the end."""
    regular = np.arange(task.checkpoint_years, task.years, task.checkpoint_years)
    return [*regular.tolist(), task.years]


def _matches(year: float, times: list[float]) -> bool:
    # The same year may differ by rounding in the two lists.
    return bool(np.isclose(times, year).any())


def _save_record(run: BasinRun, task: _Task, year: float) -> None:
    temperature, salinity = run.state()
    path = task.directory / "records" / f"{year:09.4f}.npz"
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            thetao=temperature.astype(np.float32),
            so=salinity.astype(np.float32),
            year=np.float64(run.year),
            kinetic_energy=np.float64(run.kinetic_energy()),
        )
