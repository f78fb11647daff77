"""Records of a running basin, which continue after an interruption."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from data.basin.to_archive import EQUATION_OF_STATE
from data.grid import OceanGrid
from data.state import State
from evaluation.metrics import density_error_percent, mixed_layer_depth, overturning_columns_percent
from evaluation.weights import column_area, weighted_mean, weighted_quantile
from guidance.seawater import EquationOfState, equation_of_state
from integration import circulation, water_masses

FloatArray = NDArray[np.float64]
TEMPERATURE_RANGE = (-5.0, 45.0)  # degC; a run outside has diverged, finite or not
SALINITY_RANGE = (0.0, 60.0)  # g/kg
DEEP_MIXING = 500.0  # m; a mixed layer that reaches it is one of deep convection
SERIES = {  # what a record holds beside its profiles: units
    "kinetic_energy": "m2/s2, volume mean",
    "northern_overturning": "Sv, see `circulation.northern_cell`",
    "abyssal_overturning": "Sv, see `circulation.abyssal_cell`",
    "channel_transport": "Sv",
    "gyre_strength": "Sv, see `circulation.gyre_strength`",
    "mixed_layer_mean": "m, area mean",
    "mixed_layer_p90": "m, exceeded on a tenth of the area",
    "deep_mixing_percent": "%, share of the area whose mixed layer is deeper than `DEEP_MIXING`",
    "overturning_columns_percent": "%, columns with any unstable pair, however little",
    "density_error_percent": "%, unstable share of the volume, see `metrics.density_error_percent`",
    "bottom_water_temperature": "degC, see `water_masses`",
    "bottom_water_salinity": "g/kg",
    "deep_water_temperature": "degC",
    "deep_water_salinity": "g/kg",
    "mid_depth_temperature": "degC, at 500 m between 30S and 30N",
    "processor_seconds": "s, of the model's steps since the start",
}
PROFILES = ("temperature", "salinity", "temperature_change", "salinity_change")


class Run(Protocol):
    """The methods of `data.basin.run.BasinRun` that a recorder uses."""

    def state(self) -> tuple[FloatArray, FloatArray]:
        """T [degC] and S [g/kg] now, both `z y x`."""
        ...

    def velocities(self) -> tuple[FloatArray, FloatArray]:
        """u and v [m/s] now, both `z y x`, on the eastern and northern faces."""
        ...

    def kinetic_energy(self) -> float:
        """Volume-mean kinetic energy per mass [m2/s2]."""
        ...

    def geometry(self) -> dict[str, FloatArray]:
        """Coordinates and metrics: lon, lat [degrees], depth, thickness [m], area [m2]."""
        ...

    def face_widths(self) -> tuple[FloatArray, FloatArray]:
        """Widths [m] of the faces that u and v cross: eastern `y`, northern `y x`."""
        ...

    def grid(self) -> OceanGrid:
        """The grid of the states."""
        ...


class Recorder:
    """Collects `SERIES` and `PROFILES` at times that the caller chooses.

    Profiles are horizontal means of T [degC] and S [g/kg] at each level, and the rms over each
    level of their change since the start. Of each complete year it keeps the mean overturning.
    Create it at the start of the run.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._grid = run, run.grid()
        self._eos = equation_of_state(EQUATION_OF_STATE)
        self._geometry, self._start = run.geometry(), run.state()
        self._eastern, self._northern = run.face_widths()
        self._rows: dict[str, list[Any]] = {name: [] for name in ("time", *PROFILES, *SERIES)}
        self._overturning: list[FloatArray] = []  # of each whole year
        self._this_year: list[FloatArray] = []

    @property
    def year(self) -> float:
        """Years after the start at the last record; -1 before the first."""
        return float(self._rows["time"][-1]) if self._rows["time"] else -1.0

    @property
    def processor_seconds(self) -> float:
        """Processor time of the model's steps up to the last record [s]."""
        return float(self._rows["processor_seconds"][-1]) if self._rows["time"] else 0.0

    def record(self, year: float, *, processor_seconds: float) -> bool:
        """Record the run now. Returns False, without recording, for an implausible solution."""
        fields, energy = self._run.state(), self._run.kinetic_energy()
        sound = bool(np.isfinite(energy)) and plausible(*fields)
        if not sound and self._rows["time"]:
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
        return sound

    def arrays(self) -> dict[str, FloatArray]:
        """All records as arrays `t`, `t z`, and for the overturning `year z y`."""
        rows = {name: np.array(values) for name, values in self._rows.items()}
        shape = (0, *self._grid.wet.shape[:2])
        parts = {"overturning": self._overturning, "this_year": self._this_year}
        return rows | {name: np.array(part or np.empty(shape)) for name, part in parts.items()}

    def restore(self, arrays: dict[str, FloatArray]) -> None:
        """Continue from the result of `arrays`."""
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
        """Add to the mean of the year that ends at or after `year`; the start is in no year."""
        if year > 0:
            self._this_year.append(stream.astype(np.float32))
        if year > len(self._overturning) + 1 - 1e-6:
            self._overturning.append(np.mean(self._this_year, axis=0))
            self._this_year = []


def plausible(temperature: FloatArray, salinity: FloatArray) -> bool:
    """Whether all values lie within the ranges of any ocean; NaN does not. Land is 0."""
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
