"""The record of one integration of the basin, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.atomic import atomic_write
from integration.recording import PROFILES, SERIES

FloatArray = NDArray[np.float64]
NO_YEARS = np.empty((0, 0, 0))
ROUNDING = 1e-6  # years


@dataclass(frozen=True)
class MemberRun:
    """The record of one integration, at times `t` and levels `z` (surface first).

    time `t`: years after the start
    temperature, salinity `t z` [degC, g/kg]: horizontal means
    series: time series `t` by name, see `recording.SERIES`
    level_volume `z`: wet volume [m3]; depth, thickness `z` [m]
    blow_up_year: years after the start at which the run diverged or left the plausible ranges of T
        and S, None if it survived
    temperature_change, salinity_change `t z`: rms over each level of the change since the start
    overturning `year z y`: annual-mean stream function [Sv] at the base and northern face of cells
    """

    label: str
    index: int
    time: FloatArray
    temperature: FloatArray
    salinity: FloatArray
    series: Mapping[str, FloatArray]
    level_volume: FloatArray
    depth: FloatArray
    thickness: FloatArray
    blow_up_year: float | None
    temperature_change: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    salinity_change: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    overturning: FloatArray = field(default_factory=lambda: NO_YEARS)

    @property
    def survived(self) -> bool:
        """Whether the run reached its end without diverging."""
        return self.blow_up_year is None

    @property
    def years(self) -> float:
        """Years after the start at the last record."""
        return float(self.time[-1])

    @property
    def kinetic_energy(self) -> FloatArray:
        """Volume-mean kinetic energy `t` [m2/s2]."""
        return self.series["kinetic_energy"]

    @property
    def mean_temperature(self) -> FloatArray:
        """Volume-mean temperature `t` [degC]."""
        return self.temperature @ (self.level_volume / self.level_volume.sum())

    @property
    def mean_salinity(self) -> FloatArray:
        """Volume-mean salinity `t` [g/kg]."""
        return self.salinity @ (self.level_volume / self.level_volume.sum())

    @property
    def level_weights(self) -> FloatArray:
        """Thickness of each level `z` as a fraction of the total, 0 for levels without ocean."""
        weights = self.thickness * (self.level_volume > 0)
        return weights / weights.sum()

    @property
    def drift(self) -> float:
        """Thickness-weighted rms over levels of the change in level-mean T, start to end [K]."""
        change = self.temperature[-1] - self.temperature[0]
        return float(np.sqrt(change**2 @ self.level_weights))

    def until(self, years: float) -> MemberRun:
        """The run up to `years` after its start, without a later blow-up."""
        kept = self.time <= years + ROUNDING
        early = self.blow_up_year is not None and self.blow_up_year <= years + ROUNDING
        return replace(
            self,
            time=self.time[kept],
            **{name: getattr(self, name)[_first(kept, getattr(self, name))] for name in PROFILES},
            series={name: values[kept] for name, values in self.series.items()},
            overturning=self.overturning[: int(years + ROUNDING)],
            blow_up_year=self.blow_up_year if early else None,
        )


def _first(kept: NDArray[np.bool_], values: FloatArray) -> NDArray[np.bool_]:
    return kept if len(values) else kept[:0]


def save_run(path: Path, arrays: Mapping[str, object]) -> None:
    """Write the arrays of a run atomically; `load_run` reads them."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, FloatArray]:
    """All arrays of a file written by `save_run`."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def load_run(path: Path) -> MemberRun:
    """Read the record of a run."""
    stored = load_arrays(path)
    blow_up_year = float(stored["blow_up_year"])
    own = ("time", *PROFILES, "level_volume", "depth", "thickness", "overturning")
    return MemberRun(
        label=str(stored["label"]),
        index=int(stored["index"]),
        blow_up_year=None if np.isnan(blow_up_year) else blow_up_year,
        series={name: stored[name] for name in SERIES},
        **{name: stored[name] for name in own},
    )
