"""Turn the records of a simulated ensemble into a state archive."""

from __future__ import annotations

import json
import shlex
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from data.archive.independence import independent_fields
from data.archive.splits import split_by_time_blocks
from data.archive.writer import ArchiveWriter
from data.basin.forcing import MONTHS_PER_YEAR, BasinParameters
from data.basin.simulate import MemberSettings, SimulationSettings, records
from data.errors import UserError
from data.grid import OceanGrid
from data.state import State

EQUATION_OF_STATE = "veros-vallis"
PARAMETERS = ("wind_stress_scale", "gm_diffusivity", "vertical_diffusivity")
GAP_YEARS = 5.0
_DEPTHS = (0.0, 500.0, 2000.0)  # m, where independent states are counted


def write_simulation_archive(
    settings: SimulationSettings, *, directory: Path, output: Path, gap_years: float = GAP_YEARS
) -> None:
    """Write the records under `directory` (see `data.basin.simulate.run_ensemble`) to `output`.

    Each member is split into blocks of time with gaps of `gap_years`. Raises UserError if a member
    lacks records or one cannot be read.
    """
    files = [_complete_records(settings, member, directory) for member in settings.members]
    years = np.array([_year(settings, file) for files_ in files for file in files_])
    member = np.repeat(np.arange(len(files)), [len(files_) for files_ in files])
    split = split_by_time_blocks(years, member, gap_years=gap_years)
    grid = basin_grid(settings.spin_up.parameters)
    attributes = _provenance(settings) | {
        "independent_states": _count_independent(files, years, member, grid)
    }
    writer = ArchiveWriter(
        output,
        grid=grid,
        equation_of_state=EQUATION_OF_STATE,
        salinity_units="g/kg",
        attributes=attributes,
        rounding=True,
    )
    everything = [file for files_ in files for file in files_]
    with writer:
        for row, file in enumerate(tqdm(everything, desc="archiving", unit="state")):
            writer.append(
                _read_state(file),
                member=int(member[row]),
                time=float(years[row]),
                split=int(split[row]),
                parameters=_parameters(settings.members[member[row]]),
            )


def basin_grid(parameters: BasinParameters) -> OceanGrid:
    """Grid of the basin. Imports Veros, which locks its settings for this process."""
    from data.basin.run import BasinRun

    return BasinRun(parameters, seed=0).grid()


def _complete_records(
    settings: SimulationSettings, member: MemberSettings, directory: Path
) -> list[Path]:
    found = records(directory / member.name)
    expected = len(settings.record_times)
    if len(found) != expected:
        raise UserError(
            f"member {member.name} has {len(found)} of {expected} records in {directory}: let the "
            "simulation finish (it resumes by itself), or correct the settings."
        )
    return found


def _load(file: Path) -> dict[str, NDArray[np.floating]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("thetao", "so", "year")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{file} is not a readable record ({error}): delete it and the member's checkpoint, "
            "and run the simulation again."
        ) from error


def _read_state(file: Path) -> State:
    record = _load(file)
    return State(torch.from_numpy(record["thetao"])[None], torch.from_numpy(record["so"])[None])


def _year(settings: SimulationSettings, file: Path) -> float:
    """Years since the branching."""
    return float(_load(file)["year"]) - settings.spin_up_years


def _parameters(member: MemberSettings) -> dict[str, float]:
    return {name: float(getattr(member, name)) for name in PARAMETERS}


def _count_independent(
    files: list[list[Path]], years: NDArray[np.float64], member: NDArray[np.int64], grid: OceanGrid
) -> dict[str, float]:
    """Independent states of the ensemble by temperature at some depths, summed over members."""
    levels = [int(np.abs(grid.depth - depth).argmin()) for depth in _DEPTHS]
    counts = dict.fromkeys(levels, 0.0)
    for number, files_ in enumerate(files):
        season = np.round(years[member == number] * MONTHS_PER_YEAR).astype(int) % MONTHS_PER_YEAR
        temperature = np.stack([_load(file)["thetao"][levels] for file in files_])
        for column, level in enumerate(levels):
            wet = grid.wet[level]
            counts[level] += independent_fields(
                temperature[:, column, wet], weights=grid.area[wet], season=season
            )
    return {f"{grid.depth[level]:.0f} m": round(count, 1) for level, count in counts.items()}


def _provenance(settings: SimulationSettings) -> dict[str, object]:
    return {
        "title": "Equilibrium states of a DINO-like basin simulated with Veros",
        "source": f"Veros {_version('veros')}, numpy {_version('numpy')}",
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "simulation_settings": json.loads(settings.model_dump_json()),
        "members": [member.name for member in settings.members],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
