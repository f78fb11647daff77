"""Parameters, geometry and forcing of the basin, importable without Veros."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from data.settings import Section

Array = NDArray[np.float64]

DAYS_PER_YEAR = 360
EQUATION_OF_STATE = "veros-vallis"
MONTHS_PER_YEAR = 12
WIND_LATITUDES = (-70.0, -45.0, -15.0, 0.0, 15.0, 45.0, 70.0)  # degrees north, DINO
SOUTHERN_SALINITY = 35.0  # g/kg, DINO
# Units of the parameters that members of an ensemble may differ in, as files state them.
PARAMETER_UNITS = {
    "isoneutral_slope_limit": "1",
    "wind_stress_scale": "1",
    "gm_diffusivity": "m2 s-1",
    "vertical_diffusivity": "m2 s-1",
    "southern_salinity": "g kg-1",
    "warming": "K",
    "temperature_anomaly": "K",
    "salinity_anomaly": "g kg-1",
    "wind_anomaly": "N m-2",
}
WIND_NODES = (0.0, 0.2, -0.1, -0.02, -0.1, 0.1, 0.0)  # N/m2, DINO


class BasinParameters(Section):
    """Physical parameters of one member of the ensemble."""

    resolution: float = Field(2.5, gt=0, description="grid step, degrees")
    topography_resolution: float | None = Field(
        None,
        gt=0,
        description="grid step of the basin whose sea floor this one has as block means, degrees; "
        "default: the resolution",
    )
    levels: int = Field(15, ge=4, description="number of levels")
    depth: float = Field(4000.0, gt=0, description="deepest sea floor, m")
    surface_thickness: float = Field(40.0, gt=0, description="thickness of the top level, m")
    width: float = Field(50.0, gt=0, description="zonal extent, degrees")
    northern_edge: float = Field(70.0, gt=0, description="latitude of both walls, degrees")
    momentum_step_seconds: float = Field(3600.0, gt=0, description="s; above 3600 is unstable")
    tracer_step_days: float = Field(1.0, gt=0, description="days")

    isoneutral_slope_limit: float = Field(
        0.004,
        gt=0,
        description="slope at which GM and Redi are tapered; limited by numerical stability",
    )
    wind_stress_scale: float = Field(1.0, ge=0, description="factor on the DINO wind stress")
    gm_diffusivity: float = Field(1000.0, gt=0, description="GM and Redi diffusivity, m2/s")
    vertical_diffusivity: float = Field(2e-5, gt=0, description="background diffusivity, m2/s")
    southern_salinity: float = Field(
        35.0, gt=0, description="surface salinity target south of 60S, g/kg; DINO has 35.0"
    )
    warming: float = Field(
        0.0,
        description="rise of the temperature target at 35 degrees latitude, K",
    )
    temperature_anomaly: float = Field(0.8, ge=0, description="std of target noise, K")
    salinity_anomaly: float = Field(0.15, ge=0, description="std of target noise, g/kg")
    wind_anomaly: float = Field(0.02, ge=0, description="std of wind-stress noise, N/m2")

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        if abs(self.resolution / self._floor_step - self.blocks) > 1e-9 or self.blocks < 1:
            raise ValueError(
                f"the resolution is {self.resolution:g} and topography_resolution "
                f"{self._floor_step:g} degrees: cells must join whole cells of the topography"
            )
        return self

    @property
    def blocks(self) -> int:
        """Cells of the topography along a side of each cell."""
        return round(self.resolution / self._floor_step)

    @property
    def western_edge(self) -> float:
        """Longitude [degrees] of the first grid line.

        The wall at longitude 0 has one cell of the topography on each side; joined cells begin at
        its western side, so that the wall is no wider for them.
        """
        return -self._floor_step if self.blocks > 1 else 0.0

    @property
    def unjoined(self) -> BasinParameters:
        """The same basin on the grid of its topography, with the steps of a diffusive limit."""
        return self.model_copy(
            update={
                "resolution": self._floor_step,
                "topography_resolution": None,
                "tracer_step_days": self.tracer_step_days / self.blocks**2,
            }
        )

    @property
    def _floor_step(self) -> float:
        return self.topography_resolution or self.resolution

    def wind_stress(self, latitude: Array) -> Array:
        """Zonal wind stress [N/m2] at `latitude` [degrees north]."""
        from scipy.interpolate import PchipInterpolator  # settings are read without SciPy

        clipped = np.clip(latitude, WIND_LATITUDES[0], WIND_LATITUDES[-1])
        return self.wind_stress_scale * PchipInterpolator(WIND_LATITUDES, WIND_NODES)(clipped)

    def restoring_targets(self, latitude: Array, year: float) -> tuple[Array, Array]:
        """Targets of surface T [degC] and S [g/kg] over (1, y) at model time `year`.

        T swings by 0.5 K (southern hemisphere) and 3 K (northern) with the season; S has a
        subtropical maximum in both hemispheres and a fresh dip at the equator (DINO). The warming
        is `warming * 0.75 (1 + sin^2 latitude)`: twice as strong at the poles as at the equator,
        and `warming` at 35 degrees.
        """
        north = latitude > 0
        shape = np.cos(0.5 * np.pi * np.clip(latitude / 70.0, -1, 1)) ** 2
        edge = np.where(north, 5.0, -0.5)
        # Summer in the north is half a year from summer in the south.
        swing = np.where(north, 3.0, -0.5) * np.sin(2 * np.pi * (year - 0.30))
        swing = swing * np.clip(np.abs(latitude) / 30.0, 0, 1)
        t_star = edge + (27.0 - edge) * shape + swing
        t_star = t_star + self.warming * 0.75 * (1 + np.sin(np.deg2rad(latitude)) ** 2)
        s_edge = np.where(north, 35.1, SOUTHERN_SALINITY)
        s_star = s_edge + (37.25 - s_edge) * shape - 1.25 * np.exp(-((latitude / 7.5) ** 2))
        poleward = np.sin(0.5 * np.pi * np.clip((-45.0 - latitude) / 15.0, 0, 1)) ** 2
        s_star = s_star - (SOUTHERN_SALINITY - self.southern_salinity) * poleward
        return t_star[None, :], s_star[None, :]

    def initial_profiles(self, depth: Array, latitude: Array) -> tuple[Array, Array]:
        """Analytic state at rest: T [degC] and S [g/kg] over (y, z) at `depth` [m]."""
        warmth = np.cos(0.5 * np.pi * np.clip(latitude / 70.0, -1, 1))[:, None]
        temperature = 4.0 + 20.0 * warmth * np.exp(-depth[None, :] / 600.0)
        salinity = 35.1 + 1.6 * warmth * np.exp(-depth[None, :] / 500.0)
        return temperature, salinity

    def sea_floor(self, longitude: Array, latitude: Array) -> Array:
        """Depth of the sea floor [m] over (x, y) at centres of cells; 0 on land.

        The mean over the wet cells of the topography that a cell joins; land where fewer than half
        of them are wet.
        """
        places = (np.arange(self.blocks) - 0.5 * (self.blocks - 1)) * self._floor_step
        x, y = (centres[:, None] + places for centres in (longitude, latitude))
        floor = self._floor(x.ravel(), y.ravel()).reshape(*x.shape, *y.shape)
        wet = (floor > 0).sum(axis=(1, 3))
        mean: Array = floor.sum(axis=(1, 3)) / np.maximum(wet, 1)
        return np.where(2 * wet >= self.blocks**2, mean, 0.0)

    def _floor(self, longitude: Array, latitude: Array) -> Array:
        """Depth of the sea floor [m] over (x, y) at centres of cells of the topography."""
        from_wall = np.minimum(longitude % self.width, self.width - longitude % self.width)[:, None]
        to_pole = self.northern_edge - np.abs(latitude)[None, :]
        in_channel = ((latitude > -65.0) & (latitude < -45.0))[None, :]
        zonal = np.where(in_channel, np.inf, from_wall)
        nearest = np.minimum(zonal, np.maximum(to_pole, 0.0))
        floor = self.depth - 0.5 * self.depth * np.exp(-nearest / 3.0)
        from_sill = np.hypot(from_wall, (latitude + 55.0)[None, :])
        height = 1500.0 * np.sqrt(np.clip(1 - (from_sill / 10.0) ** 2, 0, None))
        floor = np.minimum(floor, self.depth - height)
        wall = ~in_channel & (from_wall < 0.75 * self._floor_step)
        return np.where(wall | (to_pole < 0), 0.0, floor)


class RedNoise:
    """Smooth anomaly fields of unit standard deviation, a pure function of (seed, time, place).

    Each field is a sum of large-scale waves whose amplitudes are first-order autoregressive
    sequences over months, with e-folding times between 2 and 48 months; between months they are
    interpolated linearly.
    """

    FIELDS = 3  # temperature target, salinity target, wind stress
    WAVES = 12
    CENTURIES = 20

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        shape = (self.FIELDS, self.WAVES)
        self._zonal = generator.integers(0, 3, shape)
        self._meridional = generator.integers(1, 6, shape)
        self._phase = generator.uniform(0, 2 * np.pi, (2, *shape))
        self._memory = np.exp(-1 / np.exp(generator.uniform(np.log(2), np.log(48), shape)))
        self._generator_state = generator.bit_generator.state

    @cached_property
    def _amplitudes(self) -> Array:
        """Amplitudes over (month, field, wave), started from their stationary distribution."""
        generator = np.random.default_rng()
        generator.bit_generator.state = self._generator_state
        months = 100 * self.CENTURIES * MONTHS_PER_YEAR
        kicks = generator.standard_normal((months, self.FIELDS, self.WAVES))
        amplitudes = np.empty_like(kicks)
        amplitudes[0] = kicks[0]
        scale = np.sqrt(1 - self._memory**2)
        for month in range(1, months):
            amplitudes[month] = self._memory * amplitudes[month - 1] + scale * kicks[month]
        return amplitudes

    def fields(self, year: float, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Anomalies over (x, y) of T, S and wind; `x` runs 0..1 (periodic), `y` -1..1."""
        month = (year * MONTHS_PER_YEAR) % (len(self._amplitudes) - 1)
        before, weight = int(month), month - int(month)
        amplitude = (1 - weight) * self._amplitudes[before] + weight * self._amplitudes[before + 1]
        zonal = np.cos(2 * np.pi * self._zonal[..., None] * x + self._phase[0][..., None])  # f w x
        meridional = np.cos(
            0.5 * np.pi * self._meridional[..., None] * y + self._phase[1][..., None]
        )
        # Both cosines have variance 1/2 over the phases.
        scaled = amplitude * 2 / np.sqrt(self.WAVES)
        temperature, salinity, wind = np.einsum("fw,fwx,fwy->fxy", scaled, zonal, meridional)
        return temperature, salinity, wind
