"""From the finished members of an ensemble to a state archive."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from tqdm import tqdm

from data.archive.format import SMALL, SPLITS, UNUSED
from data.archive.writer import ArchiveWriter
from data.basin.certificate import Certificate
from data.basin.design import EnsembleSettings, PlannedMember
from data.basin.ensemble import finished_file, unfinished
from data.basin.forcing import EQUATION_OF_STATE, PARAMETER_UNITS, BasinParameters
from data.basin.member_files import (
    FinishedMember,
    read_member,
    read_yearly,
    tracer_step_days,
)
from data.errors import UserError
from data.grid import OceanGrid
from data.state import State

# Of eight regular records these are archived: each season once, 1.25 to 3.75 years apart.
KEPT_OF_EIGHT = (0, 3, 5, 6)


def write_ensemble_archive(settings: EnsembleSettings, *, grid: OceanGrid, output: Path) -> None:
    """Write the finished members to the archive `output`, thinned, split by member.

    Each state carries its member's parameters, its age [years since the parameters changed] and
    its season [fraction of the year]. Raises `UserError` if a member is not finished.
    """
    _check_finished(settings)
    writer = ArchiveWriter(
        output,
        grid=grid,
        equation_of_state=EQUATION_OF_STATE,
        salinity_units="g/kg",
        units=PARAMETER_UNITS,
        attributes=_provenance(settings, grid),
        rounding=True,
        compression=SMALL,  # it is part of the repository
    )
    with writer:
        bar = tqdm(settings.recorded, desc="archiving", unit="member")
        for number, member in enumerate(bar):
            record = read_member(finished_file(settings, member.name), grid)
            _append(writer, settings, member, record, number=number)


def archived(count: int, *, early: int) -> list[int]:
    """Which of `count` records are archived: the `early` ones, and half of the regular ones."""
    regular = range(count - early)
    return [*range(early), *(early + k for k in regular if k % 8 in KEPT_OF_EIGHT)]


def basin_grid(parameters: BasinParameters) -> OceanGrid:
    """Grid of the basin. Imports Veros, which locks its settings for this process."""
    from data.basin.run import BasinRun

    return BasinRun(parameters, seed=0).grid()


def _append(
    writer: ArchiveWriter,
    settings: EnsembleSettings,
    member: PlannedMember,
    record: FinishedMember,
    *,
    number: int,
) -> None:
    parameters = {name: float(getattr(member.parameters, name)) for name in settings.ranges}
    for index in archived(len(record.age), early=len(settings.early_years)):
        age = float(record.age[index])
        writer.append(
            _state(record, index),
            member=number,
            time=age,
            split=_split(member, age, early=settings.early_years),
            parameters={**parameters, "age": age, "season": (record.start_year + age) % 1},
        )


def _split(member: PlannedMember, age: float, *, early: Sequence[int]) -> int:
    """Part of a state: its member's, but none while the member still adjusts."""
    return UNUSED if age < max(early, default=0) else SPLITS[member.part]


def _state(record: FinishedMember, index: int) -> State:
    fields = (record.temperature[index], record.salinity[index])
    return State(*(torch.from_numpy(field)[None] for field in fields))


def _check_finished(settings: EnsembleSettings) -> None:
    missing = unfinished(settings, settings.recorded)
    if missing:
        path = finished_file(settings, missing[0].name)
        raise UserError(
            f"member {missing[0].name} is not finished ({path} is missing); run `halocline "
            "simulate` again, it resumes"
        )


def _provenance(settings: EnsembleSettings, grid: OceanGrid) -> dict[str, object]:
    volume = grid.volume.sum(axis=(1, 2))
    names = [member.name for member in settings.recorded]
    certificates = {
        name: Certificate.of(read_yearly(finished_file(settings, name)), volume).as_dict()
        for name in names
    }
    return {
        "title": "Perturbed-parameter ensemble of a DINO-like basin simulated with Veros",
        "source": f"Veros {_version('veros')}, numpy {_version('numpy')}",
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "ensemble_settings": json.loads(settings.model_dump_json(exclude={"start", "finished"})),
        "members": names,
        "simulated_years": settings.reference_years + len(names) * settings.record_times[-1],
        "certificates": certificates,
        "tracer_step_days": {
            name: tracer_step_days(finished_file(settings, name)) for name in names
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
