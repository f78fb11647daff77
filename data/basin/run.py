"""One integration of the basin: advance, checkpoint, restore, start from a state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.atomic import atomic_write
from data.basin.forcing import DAYS_PER_YEAR, BasinParameters
from data.basin.model import (
    Basin,
    calc_initial_conditions_kernel,
    enforce_boundaries,
    solve_streamfunction,
    vertical_velocity,
)
from data.errors import UserError
from data.grid import OceanGrid
from data.units import SECONDS_PER_DAY
from data.veros_layout import INTERIOR, upright

Array = NDArray[np.float64]


class BlowUp(RuntimeError):
    """The model's solution diverged."""


class BasinRun:
    """A basin member and its model time. States are `(z, y, x)`, surface first, land 0."""

    def __init__(self, parameters: BasinParameters, *, seed: int) -> None:
        self._setup = Basin(parameters, seed=seed)
        self._setup.setup()
        self._variables = self._setup.state.variables
        _check_levels(self.geometry()["depth"], parameters)

    @property
    def year(self) -> float:
        """Model time [years of 360 days]."""
        return float(self._variables.time) / (DAYS_PER_YEAR * SECONDS_PER_DAY)

    def advance_to(self, year: float, *, after_step: Callable[[], None] | None = None) -> None:
        """Step until model time reaches `year`, calling `after_step` after each step.

        Raises `BlowUp` if the solution diverges.
        """
        half_step = 0.5 * self._setup.state.settings.dt_tracer
        while float(self._variables.time) < year * DAYS_PER_YEAR * SECONDS_PER_DAY - half_step:
            try:
                with np.errstate(all="ignore"):
                    self._setup.step(self._setup.state)
            except RuntimeError as error:
                raise BlowUp(f"the basin blew up in model year {self.year:.2f}: {error}") from error
            if after_step is not None:
                after_step()

    def state(self) -> tuple[Array, Array]:
        """Temperature [degC] and salinity [g/kg] now, `(z, y, x)`, land 0."""
        v = self._variables
        return self._now(v.temp), self._now(v.salt)

    def set_state(self, temperature: Array, salinity: Array) -> None:
        """Replace T [degC] and S [g/kg], `(z, y, x)`, and the density; velocities stay."""
        v = self._variables
        with v.unlock():
            v.temp = self._with_interior(v.temp, temperature, v.maskT)
            v.salt = self._with_interior(v.salt, salinity, v.maskT)
            v.update(calc_initial_conditions_kernel(self._setup.state))

    def set_velocities(self, u: Array, v: Array) -> None:
        """Replace the flow [m/s], `(z, y, x)`, on the eastern and northern faces of the cells.

        Under the rigid lid the depth-mean flow is free of divergence, so its divergent part is
        removed. The vertical velocity follows from the remaining flow.
        """
        settings, m = self._setup.state.settings, self._variables
        # As Veros initialises velocities: a tendency that one step without pressure and friction
        # turns into them.
        step = settings.dt_mom * (1.5 + settings.AB_eps)
        now = np.arange(3) == int(m.tau)
        kept = {name: np.array(getattr(m, name)) for name in ("rho", "du_mix", "dv_mix")}
        with m.unlock():
            m.du = self._with_interior(m.du, u / step, m.maskU) * now
            m.dv = self._with_interior(m.dv, v / step, m.maskV) * now
            self._clear(*kept, "u", "v", "psi", "dpsi", "dpsin")
            solve_streamfunction(self._setup.state)
            self._at_all_times("u", "v", "psi")
            vertical_velocity(self._setup.state)
            self._at_all_times("w")
            self._clear("du", "dv", "dpsi", "dpsin")
            for name, values in kept.items():
                setattr(m, name, values)

    def velocities(self) -> tuple[Array, Array]:
        """u and v [m/s] now, `(z, y, x)`, on the eastern and northern faces of the cells."""
        return self._now(self._variables.u), self._now(self._variables.v)

    def set_year(self, year: float) -> None:
        """Set the model clock [years], and with it the season and the forcing anomalies."""
        with self._variables.unlock():
            self._variables.time = np.float64(year * DAYS_PER_YEAR * SECONDS_PER_DAY)

    def wet_mask(self) -> NDArray[np.bool_]:
        """Wet cells, `(z, y, x)`, surface first."""
        return np.ascontiguousarray(upright(np.asarray(self._variables.maskT)[INTERIOR])) > 0

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

    def face_widths(self) -> tuple[Array, Array]:
        """Widths [m] of the faces that u and v cross: eastern `y`, northern `y x`."""
        v = self._variables
        northern = np.asarray(v.cosu)[None, :] * np.asarray(v.dxt)[:, None]
        return np.asarray(v.dyt)[2:-2], northern[INTERIOR].T

    def grid(self) -> OceanGrid:
        """The grid of the model's cells, surface first."""
        geometry, wet = self.geometry(), self.wet_mask()
        return OceanGrid(
            depth=geometry["depth"],
            thickness=geometry["thickness"][:, None, None] * wet,
            area=geometry["area"],
            wet=wet,
            longitude=geometry["longitude"],
            latitude=geometry["latitude"],
            periodic_x=True,
        )

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
        """Write a checkpoint atomically."""
        variables = {name: getattr(self._variables, name) for name in self._restart_names()}
        with atomic_write(path) as partial, partial.open("wb") as file:
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
        now = np.asarray(variable)[..., int(self._variables.tau)]
        return np.ascontiguousarray(upright(now[INTERIOR]))

    def _with_interior(self, variable: Array, values: Array, mask: Array) -> Array:
        filled = np.array(variable)
        # All three time levels: the Adams-Bashforth step reads the previous one.
        filled[INTERIOR] = (values[::-1].transpose(2, 1, 0) * np.asarray(mask)[INTERIOR])[..., None]
        return enforce_boundaries(filled, self._setup.state.settings.enable_cyclic_x)

    def _clear(self, *names: str) -> None:
        for name in names:
            setattr(self._variables, name, np.zeros_like(getattr(self._variables, name)))

    def _at_all_times(self, *names: str) -> None:
        """Copy the next time level to all three, and fill the ghost cells."""
        for name in names:
            variable = np.array(getattr(self._variables, name))
            variable[...] = variable[..., int(self._variables.taup1), None]
            cyclic = self._setup.state.settings.enable_cyclic_x
            setattr(self._variables, name, enforce_boundaries(variable, cyclic))


def _check_levels(depth: Array, parameters: BasinParameters) -> None:
    """Raise UserError if Veros' alternating sum of thicknesses gives unordered level centres."""
    if depth[0] <= 0 or not (np.diff(depth) > 0).all():
        raise UserError(
            f"{parameters.levels} levels from {parameters.surface_thickness:g} m at the surface to "
            f"{parameters.depth:g} m depth stretch too fast for the model (level centres do not "
            "increase with depth); use more levels or a thicker top level"
        )
