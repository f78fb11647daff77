"""The finished members of an ensemble, reduced to what its tables need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from configs.schema import Experiment
from data.basin.design import EnsembleSettings, PlannedMember
from data.basin.ensemble import finished_file, unfinished
from data.basin.ensemble_archive import basin_grid
from data.basin.member_files import read_end, read_member, tracer_step_days
from data.basin.oscillation import grid_scale_oscillation
from data.basin.workers import require_veros
from data.errors import UserError
from data.grid import OceanGrid
from data.state import State

FloatArray = NDArray[np.float64]
REPLICATE = "replicate"
PARTS = ("train", "validation", "test", REPLICATE, "outside")


def settings_and_grid(experiment: Experiment) -> tuple[EnsembleSettings, OceanGrid]:
    """The experiment's ensemble and the grid of its basin.

    Raises `UserError` if the experiment has no ensemble or Veros is not installed.
    """
    settings = experiment.data.ensemble
    if settings is None:
        raise UserError("the configuration has no section data.ensemble; see configs/ensemble.yaml")
    require_veros()
    return settings, basin_grid(settings.basin)


@dataclass(frozen=True)
class Summary:
    """A finished member without its snapshots.

    yearly: see `FinishedMember`; mean, first_third, last_third: T `z y x` [degC], means over the
    regular records and over a third of them; end: the exact state at its end; records: number of
    snapshots; oscillation: see `grid_scale_oscillation` [K]; last_step: T of the last regular
    record minus that of the one before
    """

    yearly: Mapping[str, NDArray[Any]]
    tracer_step_days: float
    records: int
    oscillation: float
    last_step: FloatArray
    mean: FloatArray
    first_third: FloatArray
    last_third: FloatArray
    end: State

    @classmethod
    def read(cls, path: Path, grid: OceanGrid, *, early: int) -> Summary:
        """Of a finished member's file, whose first `early` records are not regular."""
        record = read_member(path, grid)
        regular = record.temperature[early:]
        third = len(regular) // 3
        return cls(
            yearly=record.yearly,
            tracer_step_days=tracer_step_days(path),
            records=len(record.age),
            oscillation=grid_scale_oscillation(list(regular), grid),
            last_step=regular[-1] - regular[-2],
            mean=regular.mean(axis=0),
            first_third=regular[:third].mean(axis=0),
            last_third=regular[len(regular) - third :].mean(axis=0),
            end=_end_state(path),
        )


@dataclass(frozen=True)
class FinishedEnsemble:
    """The finished part of an ensemble.

    members: by name in the order of the design, without continuations; missing: names of the
    recorded members, and missing_continuations: of the continuations, that are not finished
    """

    settings: EnsembleSettings
    grid: OceanGrid
    members: Mapping[str, Summary]
    missing: tuple[str, ...]
    missing_continuations: tuple[str, ...]

    @classmethod
    def read(cls, settings: EnsembleSettings, grid: OceanGrid) -> FinishedEnsemble:
        """Read all finished members.

        Raises `UserError` if none is finished, or one was simulated with other settings.
        """
        missing = tuple(member.name for member in unfinished(settings, settings.recorded))
        finished = [one.name for one in settings.recorded if one.name not in missing]
        if not finished:
            raise UserError(
                f"no member of the ensemble is finished in {settings.finished}; run `halocline "
                "simulate` first, or work in a checkout, which has the finished members"
            )
        early = len(settings.early_years)
        members = {
            name: Summary.read(finished_file(settings, name), grid, early=early)
            for name in tqdm(finished, desc="reading", unit="member")
        }
        continuations = unfinished(settings, settings.continuations)
        return cls(settings, grid, members, missing, tuple(one.name for one in continuations))

    @property
    def planned(self) -> list[PlannedMember]:
        """The design of the finished members."""
        return [member for member in self.settings.recorded if member.name in self.members]

    @property
    def training(self) -> list[str]:
        """Names of the finished training members."""
        return [one.name for one in self.planned if self.part(one) == "train"]

    def part(self, member: PlannedMember) -> str:
        """The part of a member, or "replicate" (whose states are in the part of its original)."""
        return REPLICATE if member.name in self.settings.originals else member.part


def _end_state(path: Path) -> State:
    temperature, salinity, _, _ = read_end(path)
    return State(torch.from_numpy(temperature)[None], torch.from_numpy(salinity)[None])
