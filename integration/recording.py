"""Recording of time series and profiles from a running basin model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.basin.forcing import EQUATION_OF_STATE
from data.grid import OceanGrid
from data.salinity import SALINITY_UNIT
from data.state import State
from evaluation.metrics.stability import (
    density_error_percent,
    mixed_layer_depth,
    overturning_columns_percent,
)
from evaluation.metrics.weights import column_area, weighted_mean, weighted_quantile
from guidance.seawater import EquationOfState, equation_of_state
from integration import circulation, water_masses

if TYPE_CHECKING:
    from data.basin.run import BasinRun

FloatArray = NDArray[np.float64]
TEMPERATURE_RANGE = (-5.0, 45.0)  # degC; a run outside this range has diverged
SALINITY_RANGE = (0.0, 60.0)  # g/kg
DEEP_MIXING = 500.0  # m; deeper mixed layers count as deep convection
SERIES = {  # time series of a record: unit and definition
    "kinetic_energy": "m2/s2, volume mean",
    "northern_overturning": "Sv, see `circulation.northern_cell`",
    "abyssal_overturning": "Sv, see `circulation.abyssal_cell`",
    "channel_transport": "Sv, see `circulation.channel_transport`",
    "gyre_strength": "Sv, see `circulation.gyre_strength`",
    "mixed_layer_mean": "m, area mean",
    "mixed_layer_p90": "m, 90th percentile by area",
    "deep_mixing_percent": "%, area with mixed layers deeper than `DEEP_MIXING`",
    "overturning_columns_percent": "%, see `metrics.overturning_columns_percent`",
    "density_error_percent": "%, see `metrics.density_error_percent`",
    "bottom_water_temperature": "degC, see `water_masses`",
    "bottom_water_salinity": SALINITY_UNIT,
    "deep_water_temperature": "degC",
    "deep_water_salinity": SALINITY_UNIT,
    "mid_depth_temperature": "degC, at 500 m between 30S and 30N",
    "processor_seconds": "s, processor time of the model since the start",
}
PROFILES = ("temperature", "salinity", "temperature_change", "salinity_change")


class Recorder:
    """Records `SERIES` and `PROFILES` of a run at times chosen by the caller.

    Profiles are horizontal means of T [degC] and S [g/kg] at each level, and the rms over each
    level of their change since the start. The overturning is averaged over complete years. A
    recorder must be created at the start of the run.
    """

    def __init__(self, run: BasinRun) -> None:
        self._run, self._grid = run, run.grid()
        self._eos = equation_of_state(EQUATION_OF_STATE)
        self._geometry, self._start = run.geometry(), run.state()
        self._eastern, self._northern = run.face_widths()
        self._rows: dict[str, list[Any]] = {name: [] for name in ("time", *PROFILES, *SERIES)}
        self._overturning: list[FloatArray] = []  # annual means
        self._this_year: list[FloatArray] = []

    @property
    def year(self) -> float:
        """Years after the start at the last record; -1 before the first."""
        return float(self._rows["time"][-1]) if self._rows["time"] else -1.0

    @property
    def processor_seconds(self) -> float:
        """Processor time of the model up to the last record [s]."""
        return float(self._rows["processor_seconds"][-1]) if self._rows["time"] else 0.0

    def record(self, year: float, *, processor_seconds: float) -> bool:
        """Record the run now and return True; an implausible state gives False.

        An implausible state is recorded only at the start.
        """
        fields, energy = self._run.state(), self._run.kinetic_energy()
        is_plausible = bool(np.isfinite(energy)) and plausible(*fields)
        if not is_plausible and self._rows["time"]:
            return False
        row = {
            "time": year,
            "kinetic_energy": energy,
            "processor_seconds": processor_seconds,
            **self._profiles(*fields),
            **self._circulation(year),
            **_stratification(_state(*fields), self._grid, self._eos),
            **_water_masses(*fields, self._grid),
        }
        for name, values in self._rows.items():
            values.append(row[name])
        return is_plausible

    def arrays(self) -> dict[str, FloatArray]:
        """All records as arrays `t` and `t z`; the overturning is `year z y`."""
        rows = {name: np.array(values) for name, values in self._rows.items()}
        shape = (0, *self._grid.wet.shape[:2])
        parts = {"overturning": self._overturning, "this_year": self._this_year}
        return rows | {name: np.array(part or np.empty(shape)) for name, part in parts.items()}

    def restore(self, arrays: dict[str, FloatArray]) -> None:
        """Continue from the arrays of an earlier recorder."""
        self._rows = {name: list(arrays[name]) for name in self._rows}
        self._overturning = list(arrays["overturning"])
        self._this_year = list(arrays["this_year"])

    def _profiles(self, *fields: FloatArray) -> dict[str, FloatArray]:
        result = {}
        for name, field, start in zip(PROFILES, fields, self._start, strict=False):
            result[name] = self._level_means(field)
            result[f"{name}_change"] = np.sqrt(self._level_means((field - start) ** 2))
        return result

    def _level_means(self, field: FloatArray) -> FloatArray:
        volume = self._grid.volume.sum(axis=(1, 2))
        total = (field * self._grid.volume).sum(axis=(1, 2))
        return total / np.where(volume > 0, volume, 1.0)

    def _circulation(self, year: float) -> dict[str, float]:
        u, v = self._run.velocities()
        geometry, thickness = self._geometry, self._geometry["thickness"]
        base, latitude = np.cumsum(thickness), geometry["latitude"]
        stream = circulation.overturning(v, width=self._northern, thickness=thickness)
        self._keep_overturning(stream, year)
        gyres = circulation.barotropic(u, length=self._eastern, thickness=thickness)
        edges = 0.5 * np.diff(latitude, prepend=2 * latitude[0] - latitude[1])
        return {
            "northern_overturning": circulation.northern_cell(
                stream, latitude=latitude + edges, base=base
            ),
            "abyssal_overturning": circulation.abyssal_cell(stream, base=base),
            "channel_transport": circulation.channel_transport(gyres),
            "gyre_strength": circulation.gyre_strength(gyres, latitude=latitude - edges),
        }

    def _keep_overturning(self, stream: FloatArray, year: float) -> None:
        """Add to the annual mean; the start belongs to no year."""
        if year > 0:
            self._this_year.append(stream.astype(np.float32))
        if year > len(self._overturning) + 1 - 1e-6:
            self._overturning.append(np.mean(self._this_year, axis=0))
            self._this_year = []


def plausible(temperature: FloatArray, salinity: FloatArray) -> bool:
    """Whether all values are within plausible ranges; NaN is not. Land is 0."""
    ranges = ((temperature, TEMPERATURE_RANGE), (salinity, SALINITY_RANGE))
    return all(bool(((low <= field) & (field <= high)).all()) for field, (low, high) in ranges)


def _state(*fields: FloatArray) -> State:
    return State(*(torch.from_numpy(field)[None] for field in fields))


def _stratification(state: State, grid: OceanGrid, eos: EquationOfState) -> dict[str, float]:
    depth, area = mixed_layer_depth(state, grid, eos), column_area(grid)
    return {
        "mixed_layer_mean": float(weighted_mean(depth[0], area)),
        "mixed_layer_p90": weighted_quantile(depth[0], area, 0.9),
        "deep_mixing_percent": 100 * float(weighted_mean((depth[0] > DEEP_MIXING) * 1.0, area)),
        "overturning_columns_percent": overturning_columns_percent(state, grid, eos),
        "density_error_percent": float(density_error_percent(state, grid, eos)[0]),
    }


def _water_masses(
    temperature: FloatArray, salinity: FloatArray, grid: OceanGrid
) -> dict[str, float]:
    bottom, deep = water_masses.bottom_water(grid), water_masses.deep_water(grid)
    return {
        "bottom_water_temperature": water_masses.box_mean(temperature, bottom),
        "bottom_water_salinity": water_masses.box_mean(salinity, bottom),
        "deep_water_temperature": water_masses.box_mean(temperature, deep),
        "deep_water_salinity": water_masses.box_mean(salinity, deep),
        "mid_depth_temperature": water_masses.mid_depth_temperature(temperature, grid),
    }
