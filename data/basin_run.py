"""One integration of the basin: advance, checkpoint, restore, start from a state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.basin import SECONDS_PER_DAY, Basin, enforce_boundaries
from data.basin_forcing import DAYS_PER_YEAR, BasinParameters
from data.errors import UserError
from data.whole import whole

Array = NDArray[np.float64]
INTERIOR = (slice(2, -2), slice(2, -2))  # Veros stores two ghost cells on each side


class BlowUp(RuntimeError):
    """The model's solution diverged."""


class BasinRun:
    """A basin member with its clock. States are `(z, y, x)`, surface first, land 0."""

    def __init__(self, parameters: BasinParameters, *, seed: int) -> None:
        self._setup = Basin(parameters, seed=seed)
        self._setup.setup()
        self._variables = self._setup.state.variables
        _check_levels(self.geometry()["depth"], parameters)

    @property
    def year(self) -> float:
        """Model time [years of 360 days]."""
        return float(self._variables.time) / (DAYS_PER_YEAR * SECONDS_PER_DAY)

    def advance_to(self, year: float) -> None:
        """Step until model time reaches `year`. Raises `BlowUp` if the solution diverges."""
        half_step = 0.5 * self._setup.state.settings.dt_tracer
        while float(self._variables.time) < year * DAYS_PER_YEAR * SECONDS_PER_DAY - half_step:
            try:
                with np.errstate(all="ignore"):
                    self._setup.step(self._setup.state)
            except RuntimeError as error:
                raise BlowUp(f"the basin blew up in model year {self.year:.2f}: {error}") from error

    def state(self) -> tuple[Array, Array]:
        """Temperature [degC] and salinity [g/kg] now, `(z, y, x)`, land 0."""
        v = self._variables
        return self._now(v.temp), self._now(v.salt)

    def set_state(self, temperature: Array, salinity: Array) -> None:
        """Replace T [degC] and S [g/kg], `(z, y, x)`; velocities are left as they are."""
        v = self._variables
        with v.unlock():
            v.temp = self._with_interior(v.temp, temperature)
            v.salt = self._with_interior(v.salt, salinity)

    def set_year(self, year: float) -> None:
        """Set the model clock [years], and with it the season and the forcing anomalies."""
        with self._variables.unlock():
            self._variables.time = np.float64(year * DAYS_PER_YEAR * SECONDS_PER_DAY)

    def wet_mask(self) -> NDArray[np.bool_]:
        """Wet cells, `(z, y, x)`, surface first."""
        return self._upright(np.asarray(self._variables.maskT)[INTERIOR]) > 0

    def geometry(self) -> dict[str, Array]:
        """Coordinates and metrics: lon, lat [degrees], depth, thickness [m], area [m2]."""
        v = self._variables
        return {
            "longitude": np.asarray(v.xt)[2:-2],
            "latitude": np.asarray(v.yt)[2:-2],
            "depth": -np.asarray(v.zt)[::-1],
            "thickness": np.asarray(v.dzt)[::-1],
            "area": np.asarray(v.area_t)[INTERIOR].T,
        }

    def kinetic_energy(self) -> float:
        """Volume-mean kinetic energy per mass [m2/s2]."""
        v = self._variables
        u, w = np.asarray(v.u), np.asarray(v.v)
        tau = int(v.tau)
        # Velocities live on faces: average the squares of the two faces of each cell.
        u2 = 0.5 * (u[2:-2, 2:-2, :, tau] ** 2 + u[1:-3, 2:-2, :, tau] ** 2)
        v2 = 0.5 * (w[2:-2, 2:-2, :, tau] ** 2 + w[2:-2, 1:-3, :, tau] ** 2)
        volume = (np.asarray(v.area_t)[..., None] * np.asarray(v.dzt) * np.asarray(v.maskT))[
            INTERIOR
        ]
        return float((0.5 * (u2 + v2) * volume).sum() / volume.sum())

    def save(self, path: Path) -> None:
        """Write a checkpoint; the file appears whole or not at all (`data.whole.whole`)."""
        variables = {name: getattr(self._variables, name) for name in self._restart_names()}
        with whole(path) as partial, partial.open("wb") as file:
            np.savez(file, **variables)

    def load(self, path: Path) -> None:
        """Restore a checkpoint exactly."""
        with np.load(path, allow_pickle=False) as stored, self._variables.unlock():
            for name in self._restart_names():
                template = getattr(self._variables, name)
                value = stored[name]
                setattr(self._variables, name, value if np.ndim(template) else value[()])

    def _restart_names(self) -> list[str]:
        meta = self._setup.state.var_meta
        return [
            name for name, variable in meta.items() if variable.write_to_restart and variable.active
        ]

    def _now(self, variable: Array) -> Array:
        return self._upright(np.asarray(variable)[..., int(self._variables.tau)][INTERIOR])

    @staticmethod
    def _upright(interior: Array) -> Array:
        """Veros order (x, y, z from the bottom) to (z from the surface, y, x)."""
        return np.ascontiguousarray(interior.transpose(2, 1, 0)[::-1])

    def _with_interior(self, variable: Array, values: Array) -> Array:
        filled = np.array(variable)
        mask = np.asarray(self._variables.maskT)[INTERIOR]
        # All three time levels: the Adams-Bashforth step reads the previous one.
        filled[INTERIOR] = (values[::-1].transpose(2, 1, 0) * mask)[..., None]
        return enforce_boundaries(filled, self._setup.state.settings.enable_cyclic_x)


def _check_levels(depth: Array, parameters: BasinParameters) -> None:
    """Veros makes centres of thicknesses by an alternating sum: no good if they vary fast."""
    if depth[0] <= 0 or not (np.diff(depth) > 0).all():
        raise UserError(
            f"{parameters.levels} levels from {parameters.surface_thickness:g} m at the surface to "
            f"{parameters.depth:g} m depth stretch too fast for the model (level centres do not "
            "increase with depth); use more levels or a thicker top level"
        )
