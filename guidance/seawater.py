"""Equations of state of the ocean models, in torch: batched, differentiable, any float type.

Depth is in metres, positive down; each equation converts it to pressure as its model does. All
return in-situ density [kg/m3], including the reference density of models that use anomalies.
Differences between layers are computed from expansion coefficients at the layers' mean, because
the difference of two densities in float32 has an error of 1e-4 to 1e-3 kg/m3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from data.equations import EQUATIONS, EquationName
from data.errors import UserError
from guidance import polynomials as poly

Depth = Tensor | float
GRAVITY = 9.81  # [m/s2], the value of Veros and MITgcm


class EquationOfState(Protocol):
    """Density of seawater from temperature, salinity and depth.

    Each equation defines its temperature (potential or conservative) and salinity (practical or
    absolute); the state archive names the equation of its values.
    """

    name: ClassVar[EquationName]

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3] from temperature [degC], salinity [1e-3 or g/kg], depth [m].

        Arguments are broadcast.
        """
        ...

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """(drho/dT [kg/m3/K], drho/dS [kg/m3 per unit of salinity]) at constant depth."""
        ...

    def density_step(
        self,
        upper_temperature: Tensor,
        upper_salinity: Tensor,
        lower_temperature: Tensor,
        lower_salinity: Tensor,
        depth: Depth,
    ) -> Tensor:
        """rho(lower) - rho(upper) [kg/m3], both at `depth` [m]; positive is stable.

        The midpoint rule, -alpha dT + beta dS at the mean temperature and salinity: exact for
        equations quadratic in T and S, and exactly 0 for equal layers.
        """
        by_temperature, by_salinity = self.slopes(
            0.5 * (upper_temperature + lower_temperature),
            0.5 * (upper_salinity + lower_salinity),
            depth,
        )
        return by_temperature * (lower_temperature - upper_temperature) + by_salinity * (
            lower_salinity - upper_salinity
        )


@dataclass(frozen=True)
class Linear(EquationOfState):
    """Linear in temperature and salinity (Vallis 2017, Atmospheric and Oceanic Fluid Dynamics).

    rho0 [kg/m3] at temperature0 [degC] and salinity0; thermal_expansion [1/K],
    haline_contraction [1 per unit of salinity].
    """

    name: ClassVar[EquationName] = "linear"
    rho0: float = 1027.0
    temperature0: float = 10.0
    salinity0: float = 35.0
    thermal_expansion: float = 1.67e-4
    haline_contraction: float = 0.78e-3

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3]; see `EquationOfState`."""
        anomaly = self.haline_contraction * (salinity - self.salinity0)
        anomaly = anomaly - self.thermal_expansion * (temperature - self.temperature0)
        return self.rho0 * (1 + anomaly)

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """drho/dT and drho/dS at constant depth; see `EquationOfState`."""
        by_temperature = torch.full_like(temperature, -self.rho0 * self.thermal_expansion)
        return by_temperature, torch.full_like(salinity, self.rho0 * self.haline_contraction)


@dataclass(frozen=True)
class VerosVallis(EquationOfState):
    """Veros' `eq_of_state_type = 3` (nonlinear_eq2): Vallis 2008, cabbeling and thermobaricity.

    Potential temperature [degC], salinity [g/kg]. Veros uses depth in metres as pressure in dbar
    and returns the anomaly; here its rho0 is added.
    """

    name: ClassVar[EquationName] = "veros-vallis"
    rho0: float = 1024.0  # [kg/m3]
    temperature0: float = 9.85  # [degC]
    salinity0: float = 35.0  # [g/kg]
    thermal_expansion: float = 1.67e-4  # [1/K]
    cabbeling: float = 1e-5  # [1/K2]
    haline_contraction: float = 0.78e-3  # [1/(g/kg)]
    thermobaricity: float = 1.1e-8  # [1/Pa]
    sound_speed: float = 1490.0  # [m/s]

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3]; see `EquationOfState`."""
        warmth = temperature - self.temperature0
        compression = GRAVITY * depth / self.sound_speed**2
        expansion = (self._expansion(depth) + 0.5 * self.cabbeling * warmth) * warmth
        contraction = self.haline_contraction * (salinity - self.salinity0)
        return self.rho0 * (1 + compression - expansion + contraction)

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """drho/dT and drho/dS at constant depth; see `EquationOfState`."""
        warmth = temperature - self.temperature0
        by_temperature = -self.rho0 * (self._expansion(depth) + self.cabbeling * warmth)
        return by_temperature, torch.full_like(salinity, self.rho0 * self.haline_contraction)

    def _expansion(self, depth: Depth) -> Depth:
        pressure = self.rho0 * GRAVITY * depth
        return self.thermal_expansion * (1 + self.thermobaricity * pressure)


@dataclass(frozen=True)
class VerosLinear(VerosVallis):
    """Veros' `eq_of_state_type = 1`: linear in temperature and salinity, without pressure."""

    name: ClassVar[EquationName] = "veros-linear"
    cabbeling: float = 0.0
    thermobaricity: float = 0.0
    sound_speed: float = inf


@dataclass(frozen=True)
class VerosNonlinear1(VerosVallis):
    """Veros' `eq_of_state_type = 2` (nonlinear_eq1): cabbeling, without pressure."""

    name: ClassVar[EquationName] = "veros-nonlinear1"
    thermobaricity: float = 0.0
    sound_speed: float = inf


@dataclass(frozen=True)
class VerosNonlinear3(VerosNonlinear1):
    """Veros' `eq_of_state_type = 4` (nonlinear_eq3): cabbeling, without pressure or salinity."""

    name: ClassVar[EquationName] = "veros-nonlinear3"
    haline_contraction: float = 0.0


@dataclass(frozen=True)
class NemoSimplified(EquationOfState):
    """NEMO's simplified equation (`ln_seos`, Roquet et al. 2015b), defaults as in DINO.

    rho = rho0 - a0 (1 + lambda1/2 dT + mu1 z) dT + b0 (1 - lambda2/2 dS - mu2 z) dS - nu dT dS
    with dT = T - 10 degC, dS = S - 35, z = depth [m]. Names follow NEMO's namelist (`rn_...`).
    """

    name: ClassVar[EquationName] = "nemo-seos"
    rho0: float = 1026.0  # [kg/m3]
    a0: float = 0.165  # [kg/m3/K]
    b0: float = 0.76554  # [kg/m3 per unit of salinity]
    lambda1: float = 0.06  # [1/K]
    lambda2: float = 0.0  # [1 per unit of salinity]
    mu1: float = 1.4970e-4  # [1/m]
    mu2: float = 0.0  # [1/m]
    nu: float = 0.0  # [kg/m3/K per unit of salinity]

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3]; see `EquationOfState`."""
        warmth, saltiness = temperature - 10.0, salinity - 35.0
        thermal = self.a0 * (1 + 0.5 * self.lambda1 * warmth + self.mu1 * depth) * warmth
        haline = self.b0 * (1 - 0.5 * self.lambda2 * saltiness - self.mu2 * depth) * saltiness
        return self.rho0 - thermal + haline - self.nu * warmth * saltiness

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """drho/dT and drho/dS at constant depth; see `EquationOfState`."""
        warmth, saltiness = temperature - 10.0, salinity - 35.0
        thermal = self.a0 * (1 + self.lambda1 * warmth + self.mu1 * depth)
        haline = self.b0 * (1 - self.lambda2 * saltiness - self.mu2 * depth)
        return -thermal - self.nu * saltiness, haline - self.nu * warmth


@dataclass(frozen=True)
class _NemoPolynomial(EquationOfState):
    """NEMO's polynomials with 52 terms (Roquet et al. 2015, Ocean Modelling 90).

    In s = sqrt((S + offset) * factor), t = T / 40 K, z = depth / 1e4 m. `anomaly` is NEMO's r';
    `density` adds the reference profile r0(z), which does not affect density steps.
    """

    _salinity_offset: ClassVar[float]
    _salinity_factor: ClassVar[float]
    _table: ClassVar[poly.Table]
    _table_by_t: ClassVar[poly.Table]
    _table_by_s: ClassVar[poly.Table]

    def anomaly(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """r' = rho - r0(z) [kg/m3]."""
        return poly.evaluate(self._table, *self._variables(temperature, salinity, depth))

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3]; see `EquationOfState`."""
        _, _, z = self._variables(temperature, salinity, depth)
        return self.anomaly(temperature, salinity, depth) + poly.horner(poly.ROQUET_PROFILE, z)

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """drho/dT and drho/dS at constant depth; see `EquationOfState`."""
        s, t, z = self._variables(temperature, salinity, depth)
        by_t = poly.evaluate(self._table_by_t, s, t, z)
        by_s = poly.evaluate(self._table_by_s, s, t, z)
        return by_t / _ROQUET_WARMTH, by_s * (0.5 * self._salinity_factor) / s

    def _variables(
        self, temperature: Tensor, salinity: Tensor, depth: Depth
    ) -> tuple[Tensor, Tensor, Depth]:
        """The scaled variables (s, t, z), computed as in NEMO."""
        s = _root((salinity + self._salinity_offset).abs() * self._salinity_factor)
        return s, temperature / _ROQUET_WARMTH, _in_type_of(temperature, depth) * 1e-4


@dataclass(frozen=True)
class NemoTeos10(_NemoPolynomial):
    """NEMO's TEOS-10 (`ln_teos10`). Conservative temperature [degC], absolute salinity [g/kg]."""

    name: ClassVar[EquationName] = "nemo-teos10"
    _salinity_offset = 32.0
    _salinity_factor = 0.875 / 35.16504
    _table = poly.ROQUET_TEOS10_ANOMALY
    _table_by_t = poly.t_derivative(poly.ROQUET_TEOS10_ANOMALY)
    _table_by_s = poly.s_derivative(poly.ROQUET_TEOS10_ANOMALY)


@dataclass(frozen=True)
class NemoEos80(_NemoPolynomial):
    """NEMO's EOS-80 (`ln_eos80`). Potential temperature [degC], practical salinity.

    NEMO has no reference profile; with that of TEOS-10, `density` is within 0.01 kg/m3 of UNESCO.
    """

    name: ClassVar[EquationName] = "nemo-eos80"
    _salinity_offset = 20.0
    _salinity_factor = 1 / 40
    _table = poly.ROQUET_EOS80_ANOMALY
    _table_by_t = poly.t_derivative(poly.ROQUET_EOS80_ANOMALY)
    _table_by_s = poly.s_derivative(poly.ROQUET_EOS80_ANOMALY)


@dataclass(frozen=True)
class VerosGsw(EquationOfState):
    """Veros' `eq_of_state_type = 5`: the 48-term equation of TEOS-10, a ratio of polynomials.

    Conservative temperature [degC], absolute salinity [g/kg]. Veros uses depth in metres as
    pressure in dbar. Salinity below 1e-6 counts as 1e-6, so that land (0) has finite gradients.
    """

    name: ClassVar[EquationName] = "veros-gsw"

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3]; see `EquationOfState`."""
        at = self._variables(temperature, salinity, depth)
        numerator, denominator = (poly.evaluate(table, *at) for table in _TEOS10_48_TABLES)
        return numerator / denominator

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """drho/dT and drho/dS at constant depth; see `EquationOfState`."""
        at = self._variables(temperature, salinity, depth)
        numerator, denominator = (poly.evaluate(table, *at) for table in _TEOS10_48_TABLES)
        density = numerator / denominator
        by_temperature, by_salinity = (
            (poly.evaluate(above, *at) - density * poly.evaluate(below, *at)) / denominator
            for above, below in (_TEOS10_48_BY_T, _TEOS10_48_BY_S)
        )
        return by_temperature, by_salinity

    def _variables(
        self, temperature: Tensor, salinity: Tensor, depth: Depth
    ) -> tuple[Tensor, Tensor, Depth]:
        """Root of salinity, temperature and pressure [dbar], the variables of the polynomials."""
        return _root(salinity.clamp(min=1e-6)), temperature, _in_type_of(temperature, depth)


@dataclass(frozen=True)
class JackettMcDougall(EquationOfState):
    """MITgcm's `eosType = 'JMD95'` (Jackett and McDougall 1995, J. Atmos. Oceanic Technol. 12).

    Potential temperature [degC], practical salinity. Pressure is rho_const * g * depth, as in
    MITgcm's `JMD95Z`. Salinity below 1e-6 counts as 1e-6, so that land (0) has finite gradients.
    """

    name: ClassVar[EquationName] = "jmd95"
    rho_const: float = 1035.0  # [kg/m3]
    gravity: float = GRAVITY  # [m/s2]

    def density(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> Tensor:
        """In-situ density [kg/m3]; see `EquationOfState`."""
        at = self._variables(temperature, salinity, depth)
        surface = poly.evaluate(poly.JMD95_SURFACE, *at)
        return surface / (1 - at[2] / poly.evaluate(poly.JMD95_BULK_MODULUS, *at))

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        """drho/dT and drho/dS at constant depth; see `EquationOfState`."""
        at = self._variables(temperature, salinity, depth)
        surface = poly.evaluate(poly.JMD95_SURFACE, *at)
        modulus = poly.evaluate(poly.JMD95_BULK_MODULUS, *at)
        relief = 1 - at[2] / modulus
        # rho = surface / relief, and d(relief) = pressure / modulus**2 d(modulus)
        softening = surface * at[2] / (modulus * relief) ** 2
        by_temperature, by_salinity = (
            poly.evaluate(by_surface, *at) / relief - softening * poly.evaluate(by_modulus, *at)
            for by_surface, by_modulus in (_JMD95_BY_T, _JMD95_BY_S)
        )
        return by_temperature, by_salinity

    def _variables(
        self, temperature: Tensor, salinity: Tensor, depth: Depth
    ) -> tuple[Tensor, Tensor, Depth]:
        """Root of salinity, temperature and pressure [bar], the variables of the polynomials."""
        pascal_to_bar = 1e-5
        pressure = _in_type_of(temperature, depth) * self.rho_const * self.gravity
        return _root(salinity.clamp(min=1e-6)), temperature, pressure * pascal_to_bar


_ROQUET_WARMTH = 40.0
_TEOS10_48_TABLES = (poly.TEOS10_48_NUMERATOR, poly.TEOS10_48_DENOMINATOR)
_TEOS10_48_BY_T = tuple(poly.t_derivative(table) for table in _TEOS10_48_TABLES)
_TEOS10_48_BY_S = tuple(poly.square_derivative(table) for table in _TEOS10_48_TABLES)
_JMD95_TABLES = (poly.JMD95_SURFACE, poly.JMD95_BULK_MODULUS)
_JMD95_BY_T = tuple(poly.t_derivative(table) for table in _JMD95_TABLES)
_JMD95_BY_S = tuple(poly.square_derivative(table) for table in _JMD95_TABLES)

_IMPLEMENTATIONS: dict[EquationName, Callable[[], EquationOfState]] = {
    kind.name: kind
    for kind in (
        *(VerosLinear, VerosNonlinear1, VerosVallis, VerosNonlinear3, VerosGsw),
        *(NemoSimplified, NemoTeos10, NemoEos80, JackettMcDougall, Linear),
    )
}


def equation_of_state(name: str) -> EquationOfState:
    """The equation of state `name` with its model's default parameters.

    For other parameters use the class, for example `NemoSimplified(rho0=1028.0)`.
    Raises UserError for an unknown name.
    """
    for known in EQUATIONS:
        if known == name:
            return _IMPLEMENTATIONS[known]()
    raise UserError(
        f"Unknown equation of state {name!r}; the names are {', '.join(sorted(EQUATIONS))}. "
        "Correct the name in the archive's attribute or in the configuration."
    )


def sigma0(eos: EquationOfState, temperature: Tensor, salinity: Tensor) -> Tensor:
    """Potential density anomaly: density at the surface minus 1000 [kg/m3]."""
    return eos.density(temperature, salinity, 0.0) - 1000.0


def freezing_temperature(salinity: Tensor, depth: Depth) -> Tensor:
    """In-situ freezing point of seawater [degC] for practical salinity.

    Millero 1978, adopted by UNESCO 1983 (Fofonoff and Millard, Technical Papers in Marine
    Science 44): Tf = -0.0575 S + 1.710523e-3 S**1.5 - 2.154996e-4 S**2 - 7.53e-4 p. Depth [m]
    counts as pressure p [dbar], as in NEMO's `eos_fzp`. Salinity below 0 counts as 0.
    """
    s = salinity.clamp(min=0)
    return (-0.0575 + 1.710523e-3 * s.sqrt() - 2.154996e-4 * s) * s - 7.53e-4 * depth


def _root(x: Tensor) -> Tensor:
    """The square root of positive numbers.

    The last bit of `torch.sqrt` depends on the processor. `rsqrt` is 1 / sqrt(x) with both
    operations rounded correctly, so that compiled code reproduces it bitwise.
    """
    return x * x.rsqrt()


def _in_type_of(field: Tensor, depth: Depth) -> Depth:
    """The depth with the float type and device of the field; numbers are unchanged."""
    return depth.to(field) if isinstance(depth, Tensor) else depth
