"""Write a state as the raw input files of MITgcm (`hydrogThetaFile` and similar).

Big-endian reals without a header, `(Nr, Ny, Nx)` in C order, the surface first; sea level `(Ny,
Nx)`. MITgcm reads them with `nIter0 = 0` only. Velocities are on the western and southern faces of
the cells; without velocity files MITgcm starts at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import UserError
from data.restarts.initial_condition import (
    FLOAT_BYTES,
    Floats,
    InitialCondition,
    Precision,
    VelocityChoice,
    Written,
    checked_velocities,
    stem,
    write_compared,
)

_PARAMETERS = {
    "thetao": "hydrogThetaFile",
    "so": "hydrogSaltFile",
    "zos": "pSurfInitFile",
    "u": "uVelInitFile",
    "v": "vVelInitFile",
}
_SUFFIXES = {"thetao": "theta", "so": "salt", "zos": "eta", "u": "uvel", "v": "vvel"}
DAYS_PER_YEAR = 360  # of MITgcm's usual periodic forcing
SECONDS_PER_DAY = 86400
_EQUATIONS = {"jmd95": "JMD95Z", "linear": "LINEAR"}


@dataclass(frozen=True)
class MitgcmFiles:
    """Writes `<path>_theta.bin`, `<path>_salt.bin` and, with sea level [m], `<path>_eta.bin`.

    precision: equal to the model's `readBinaryPrec`
    velocities: none ("rest"), or the initial condition's ("balanced"), `<path>_uvel.bin` and
        `<path>_vvel.bin` [m/s]
    """

    precision: Precision = "single"
    velocities: VelocityChoice = "rest"

    def __post_init__(self) -> None:
        if self.velocities == "template":
            raise UserError("the format mitgcm has no template: --velocities rest or balanced.")

    def files(self, path: Path) -> tuple[Path, ...]:
        """All files that may be written, including sea level and velocities."""
        base = stem(path)
        return tuple(base.with_name(f"{base.name}_{end}.bin") for end in _SUFFIXES.values())

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Write the files; land is 0. Raises UserError as `InitialConditionWriter.write` does."""
        kind = np.dtype(f">f{FLOAT_BYTES[self.precision]}")
        checked = initial.fields() | self._velocity_fields(initial)
        fields = {name: values.astype(kind) for name, values in checked.items()}
        files = {
            name: file
            for name, file in zip(_SUFFIXES, self.files(path), strict=True)
            if name in fields
        }
        write_compared(
            fields,
            files,
            write=lambda partial, _, values: partial.write_bytes(values.tobytes()),
            read=lambda partial, _: np.fromfile(partial, dtype=kind),
        )
        at_zero = bool((fields["thetao"][initial.grid.wet] == 0).any())
        return Written(tuple(files.values()), self._namelist(files, initial, at_zero=at_zero))

    def _velocity_fields(self, initial: InitialCondition) -> dict[str, Floats]:
        """Velocities at western and southern faces, from those at eastern and northern faces."""
        if self.velocities == "rest":
            return {}
        u, v = checked_velocities(initial)
        return {"u": np.roll(u, 1, axis=-1), "v": np.roll(v, 1, axis=-2)}

    def _namelist(self, files: dict[str, Path], initial: InitialCondition, *, at_zero: bool) -> str:
        """Fragment of the file `data`; `at_zero`: a wet cell holds 0 degC exactly."""
        lines = [f" {_PARAMETERS[name]}='{file.name}'," for name, file in files.items()]
        if at_zero:  # MITgcm takes 0 degC for a missing value
            lines.append(" checkIniTemp=.FALSE.,")
        return "\n".join(
            [
                "# MITgcm, file `data`; readBinaryPrec applies to all of its input files",
                " &PARM01",
                f" readBinaryPrec={8 * FLOAT_BYTES[self.precision]},",
                *_equation(initial.equation_of_state),
                " &",
                " &PARM03",
                " nIter0=0,",
                *_base_time(initial.season),
                " &",
                " &PARM05",
                *lines,
                " &",
            ]
        )


def _base_time(season: float | None) -> list[str]:
    """Lines of `PARM03` that give the state its season."""
    if season is None:
        return []
    seconds = season * DAYS_PER_YEAR * SECONDS_PER_DAY
    remark = f"# season {season:g} of a year of {DAYS_PER_YEAR} days (externForcingCycle)"
    return [remark, f" baseTime={seconds:.0f}.,"]


def _equation(name: str) -> list[str]:
    """Lines of `PARM01` that name the equation of state."""
    if name not in _EQUATIONS:
        return [f"# made for the equation of state {name}: MITgcm has no such eosType"]
    remark = ["# made for tAlpha=1.67E-4, sBeta=7.8E-4"] if name == "linear" else []
    return [f" eosType='{_EQUATIONS[name]}',", *remark]
