"""The ocean basin that Halocline simulates: a NEMO-DINO-like sector in Veros.

A 50-degree-wide sector from 70S to 70N, walled along one meridian except in a re-entrant
channel (65S to 45S) with a sill, forced by zonal wind and by restoring of surface temperature
and salinity (forcing profiles after Kamm et al. 2025, the DINO configuration of NEMO), plus
smooth red-noise anomalies; without these a coarse basin repeats the same year.

Veros locks its runtime settings once per process, so import this module only where Veros runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from veros import VerosSetup, VerosState, runtime_settings, veros_routine

runtime_settings.backend = "numpy"
runtime_settings.float_type = "float64"
runtime_settings.loglevel = "error"
runtime_settings.diskless_mode = True
runtime_settings.force_overwrite = True

# Veros reads the runtime settings when its operators are first imported.
from veros.core.external.solve_stream import solve_streamfunction  # noqa: E402
from veros.core.momentum import vertical_velocity  # noqa: E402
from veros.core.numerics import calc_initial_conditions_kernel  # noqa: E402
from veros.core.operators import at, update  # noqa: E402
from veros.core.utilities import enforce_boundaries  # noqa: E402
from veros.tools import get_vinokur_grid_steps  # noqa: E402
from veros.variables import Variable  # noqa: E402

from data.basin.forcing import DAYS_PER_YEAR, BasinParameters, RedNoise  # noqa: E402
from data.units import SECONDS_PER_DAY  # noqa: E402

# Other modules import Veros' routines from here, after the runtime settings above.
__all__ = [
    "Basin",
    "calc_initial_conditions_kernel",
    "enforce_boundaries",
    "solve_streamfunction",
    "vertical_velocity",
]

SPECIFIC_HEAT = 3991.86795711963  # J/(kg K)
HEAT_FEEDBACK = 40.0  # W/(m2 K), DINO
SALT_FEEDBACK = 3.858e-3  # kg/(m2 s), DINO
FREEZING_POINT = -1.8  # degC: a colder restoring target would need sea ice, which is not modelled


class Basin(VerosSetup):
    """Veros setup of the basin.

    `parameters` are the physical parameters of one ensemble member; `seed` draws its forcing
    anomalies. The forcing is a function of (parameters, seed, model time), so a run continued
    from a checkpoint equals an uninterrupted run.
    """

    def __init__(self, parameters: BasinParameters, *, seed: int) -> None:
        super().__init__()
        self.parameters = parameters
        self.noise = RedNoise(seed)

    @veros_routine
    def set_parameter(self, state: VerosState) -> None:
        """Size, time steps and mixing of the model, and the wind stress as a variable."""
        p, settings = self.parameters, state.settings
        settings.identifier = "basin"
        settings.description = "DINO-like sector with a re-entrant channel"
        settings.nx = round(p.width / p.resolution)
        settings.ny = round(2 * p.northern_edge / p.resolution)
        settings.nz = p.levels
        settings.x_origin = p.western_edge + p.resolution
        settings.y_origin = -p.northern_edge + p.resolution
        settings.coord_degree = True
        settings.enable_cyclic_x = True
        settings.dt_mom = p.momentum_step_seconds
        settings.dt_tracer = p.tracer_step_days * SECONDS_PER_DAY
        settings.runlen = 0.0
        settings.eq_of_state_type = 3  # Vallis (2017): cabbeling and thermobaricity
        self._set_mixing(settings)
        state.var_meta.update(
            wind=Variable("wind", ("yt",), "N/m^2", "Zonal wind stress of the basin"),
        )

    def _set_mixing(self, settings: Any) -> None:
        """Eddy, frictional and vertical mixing."""
        p = self.parameters
        settings.enable_neutral_diffusion = True
        settings.enable_skew_diffusion = True
        settings.K_iso_0 = p.gm_diffusivity
        settings.K_gm_0 = p.gm_diffusivity
        settings.K_iso_steep = 500.0
        settings.iso_slopec = p.isoneutral_slope_limit
        settings.iso_dslope = 0.5 * p.isoneutral_slope_limit

        settings.enable_hor_friction = True
        settings.A_h = (p.resolution * settings.degtom) ** 3 * 2e-11
        settings.enable_hor_friction_cos_scaling = True
        settings.hor_friction_cosPower = 1
        settings.enable_bottom_friction = True
        settings.r_bot = 1e-5
        settings.enable_implicit_vert_friction = True

        settings.enable_tke = True
        settings.c_k, settings.c_eps, settings.alpha_tke = 0.1, 0.7, 30.0
        settings.mxl_min = 1e-8
        settings.tke_mxl_choice = 2
        settings.kappaM_min = 2e-4
        settings.kappaH_min = p.vertical_diffusivity
        settings.enable_superbee_advection = True

    @veros_routine
    def set_grid(self, state: VerosState) -> None:
        """Regular spacing in degrees; levels [m] that thicken towards the sea floor."""
        vs, p = state.variables, self.parameters
        steps = get_vinokur_grid_steps(
            p.levels, p.depth, p.surface_thickness, refine_towards="lower"
        )
        vs.dxt = update(vs.dxt, at[...], p.resolution)
        vs.dyt = update(vs.dyt, at[...], p.resolution)
        vs.dzt = update(vs.dzt, at[...], np.asarray(steps))

    @veros_routine
    def set_coriolis(self, state: VerosState) -> None:
        """Coriolis parameter [1/s] at the latitude of each cell."""
        vs, settings = state.variables, state.settings
        planetary = 2 * settings.omega * np.sin(np.deg2rad(np.asarray(vs.yt)))
        vs.coriolis_t = update(vs.coriolis_t, at[...], planetary[None, :])

    @veros_routine
    def set_topography(self, state: VerosState) -> None:
        """The deepest wet level of each column, counted from 1 at the bottom; 0 is land."""
        vs = state.variables
        floor = self.parameters.sea_floor(np.asarray(vs.xt), np.asarray(vs.yt))  # x y, m
        # Level k (0 = deepest) is wet where its centre lies above the sea floor.
        wet = -np.asarray(vs.zt)[None, None, :] < floor[:, :, None]
        levels = np.asarray(vs.zt).size
        kbot = np.where(wet.any(axis=-1), levels - wet.sum(axis=-1) + 1, 0)
        vs.kbot = update(vs.kbot, at[...], kbot)

    @veros_routine
    def set_initial_conditions(self, state: VerosState) -> None:
        """Zonally uniform T [degC] and S [g/kg] at rest, and the mean wind stress [N/m2]."""
        vs = state.variables
        temperature, salinity = self.parameters.initial_profiles(
            -np.asarray(vs.zt), np.asarray(vs.yt)
        )  # y z
        vs.temp = update(vs.temp, at[...], (temperature[None] * vs.maskT)[..., None])
        vs.salt = update(vs.salt, at[...], (salinity[None] * vs.maskT)[..., None])
        vs.wind = update(vs.wind, at[...], self.parameters.wind_stress(np.asarray(vs.yt)))

    @veros_routine
    def set_forcing(self, state: VerosState) -> None:
        """Restoring of the surface [K m/s, g/kg m/s], wind stress [N/m2] and its mixing.

        All are functions of the model time: season plus red-noise anomalies.
        """
        vs, settings, p = state.variables, state.settings, self.parameters
        year = float(vs.time) / (DAYS_PER_YEAR * SECONDS_PER_DAY)
        x, y = np.asarray(vs.xt), np.asarray(vs.yt)
        noise_t, noise_s, noise_wind = self.noise.fields(year, x / p.width, y / p.northern_edge)

        t_star, s_star = p.restoring_targets(y, year)
        t_star = np.maximum(t_star + p.temperature_anomaly * noise_t, FREEZING_POINT)
        s_star = s_star + p.salinity_anomaly * noise_s
        heat = (
            HEAT_FEEDBACK / (settings.rho_0 * SPECIFIC_HEAT) * (t_star - vs.temp[:, :, -1, vs.tau])
        )
        salt = SALT_FEEDBACK / settings.rho_0 * (s_star - vs.salt[:, :, -1, vs.tau])
        vs.forc_temp_surface = heat * vs.maskT[:, :, -1]
        vs.forc_salt_surface = salt * vs.maskT[:, :, -1]

        stress = np.asarray(vs.wind)[None, :] + p.wind_anomaly * noise_wind
        vs.surface_taux = stress * vs.maskU[:, :, -1]
        centred = 0.5 * (vs.surface_taux[2:-2, 2:-2] + vs.surface_taux[1:-3, 2:-2])
        vs.forc_tke_surface = update(
            vs.forc_tke_surface, at[2:-2, 2:-2], np.abs(centred / settings.rho_0) ** 1.5
        )

    @veros_routine
    def set_diagnostics(self, state: VerosState) -> None:
        """Switch off Veros' own diagnostics; the runs record what they need."""
        state.diagnostics.clear()

    @veros_routine
    def after_timestep(self, state: VerosState) -> None:
        """Do nothing; Veros requires the method."""
