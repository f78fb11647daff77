"""Write a state into a copy of a NEMO restart.

The copy differs from its template only in the wet cells of the replaced variables. Both time levels
of a leap-frog restart get the same values; with `ln_1st_euler` the first step is then an Euler step
from the state. Without "before" fields NEMO makes an Euler step by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from data.checks import require
from data.errors import UserError
from data.grid import OceanGrid
from data.restarts.initial_condition import (
    Floats,
    InitialCondition,
    VelocityChoice,
    Written,
    copied_template,
    reads_differently,
    same_bytes,
    stem,
    template_velocities,
)
from data.restarts.nemo import date_lines, equation_switch
from data.restarts.nemo_domain import check_domain, last_map, last_volume, opened, plain

_NAMES = {"thetao": "t", "so": "s", "zos": "ssh", "u": "u", "v": "v"}
_NOW, _BEFORE, _AFTER = "n", "b", "a"
_LEVELS = {"zos": (_NOW, _BEFORE, _AFTER)}  # ssha: of the Runge-Kutta scheme
_THICKNESSES = ("e3t_", "fse3t_")  # of moving levels; the latter in NEMO 3.6
_BAROTROPIC = ("uu_n", "vv_n")  # of the Runge-Kutta scheme: depth means of un and vn
_SUBSTEPS = ("sshbb_e", "ubb_e")  # of the barotropic steps, which continue from these
_KIND = "a NEMO restart"
_FILL_ABOVE = 1e3  # above any salinity


@dataclass(frozen=True)
class NemoRestart:
    """Writes a restart that differs from `template` only in the state.

    velocities: those of the template, 0 ("rest"), or those of the initial condition ("balanced")
    """

    template: Path
    velocities: VelocityChoice = "template"

    def files(self, path: Path) -> tuple[Path, ...]:
        """One file with the suffix `.nc`, which NEMO adds to the name in its namelist."""
        return (path.with_name(f"{stem(path).name}.nc"),)

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Replace `tn sn tb sb`, with sea level `sshn sshb ssha`, with velocities `un vn ub vb`.

        "Before" and "after" fields (`b`, `a`) are replaced if the template has them. A new sea
        level also changes the thicknesses `e3t_n e3t_b` if the template has them. Raises UserError,
        too, if the template is not a restart of the state's domain, lacks a field, or contains one
        that would be inconsistent.
        """
        with opened(self.template) as template:
            patch = self._patch(template, initial)
            step = int(template["kt"][...]) if "kt" in template.variables else None
        (path,) = self.files(path)
        with copied_template(self.template, path=path) as partial:
            _replace(partial, patch)
            self._compare(partial, patch, path)
        return Written((path,), _namelist(path, step, initial))

    def _patch(
        self, template: netCDF4.Dataset, initial: InitialCondition
    ) -> dict[str, NDArray[Any]]:
        """New values of every variable to replace, in the template's types and shapes."""
        grid, path = initial.grid, self.template
        require(("tn", "sn"), template.variables, path=path, expected=_KIND)
        salt = last_volume(template["sn"])  # 0 or a fill value on land
        check_domain(template, (salt > 0) & (salt < _FILL_ABOVE), grid, path=path)
        fields = initial.fields() | self._velocity_fields(initial)
        if "zos" in fields or "u" in fields:
            self._refuse_substeps(template)
        now = tuple(f"{_NAMES[name]}{_NOW}" for name in fields)
        expected = f"{_KIND} with {', '.join(now)}"
        require(now, template.variables, path=path, expected=expected)
        patch = {}
        for name, values in fields.items():
            mask = grid.wet if values.ndim == 3 else grid.wet[0]
            for level in _LEVELS.get(name, (_NOW, _BEFORE)):
                variable = f"{_NAMES[name]}{level}"
                if variable in template.variables:
                    patch[variable] = _patched(template[variable], values, mask, path)
        if "zos" in fields:
            patch |= self._thicknesses(template, fields["zos"], grid)
        return patch | self._barotropic(template)

    def _refuse_substeps(self, template: netCDF4.Dataset) -> None:
        """Raise UserError for barotropic steps of the Runge-Kutta scheme, which would continue."""
        found = [name for name in _SUBSTEPS if name in template.variables]
        if found and _BAROTROPIC[0] in template.variables:
            raise UserError(
                f"{self.template} holds {', '.join(found)}, the last barotropic steps of a "
                "Runge-Kutta run, which would not match a new sea level or new velocities: give a "
                "restart without them, or of a leap-frog run."
            )

    def _thicknesses(
        self, template: netCDF4.Dataset, sea_level: Floats, grid: OceanGrid
    ) -> dict[str, NDArray[Any]]:
        """Thicknesses under a new `sea_level` `y x` [m]: z*, each column stretched uniformly."""
        names = [name for name in _THICKNESSES if f"{name}{_NOW}" in template.variables]
        if not names:
            return {}
        own = [name for name in template.variables if name.startswith("tilde_e3t_")]
        if own:
            raise UserError(
                f"{self.template} holds {', '.join(own)}: its levels move independently "
                "(z-tilde) and cannot follow a new sea level; give a restart of a run with z*."
            )
        rise = sea_level - last_map(template["sshn"]).astype(np.float64)
        patch = {}
        for name in names:
            stretched = _stretched(last_volume(template[f"{name}{_NOW}"]), rise, grid.wet)
            for variable in (f"{name}{level}" for level in (_NOW, _BEFORE)):
                if variable in template.variables:
                    patch[variable] = _patched(
                        template[variable], stretched, grid.wet, self.template
                    )
        return patch

    def _velocity_fields(self, initial: InitialCondition) -> dict[str, Floats]:
        velocities = template_velocities(initial, self.velocities)
        return {} if velocities is None else velocities._asdict()

    def _barotropic(self, template: netCDF4.Dataset) -> dict[str, NDArray[Any]]:
        """Depth means of the Runge-Kutta scheme: 0 at rest, otherwise refused."""
        found = [name for name in _BAROTROPIC if name in template.variables]
        if self.velocities == "template" or not found:
            return {}
        if self.velocities != "rest":
            raise UserError(
                f"{self.template} holds the barotropic velocities {', '.join(found)}, which would "
                "not match new velocities: start at rest, or from a leap-frog restart."
            )
        return {name: np.zeros_like(template[name][...]) for name in found}

    def _compare(self, partial: Path, patch: dict[str, NDArray[Any]], path: Path) -> None:
        """Raise UserError unless `partial` equals the template with `patch` applied."""
        with opened(self.template) as template, opened(partial) as written:
            if _description(template) != _description(written):
                raise reads_differently(path, "the file's description")
            for name in template.variables:
                expected = patch[name] if name in patch else template[name][...]
                if not same_bytes(np.asarray(written[name][...]), np.asarray(expected)):
                    raise reads_differently(path, name)


def _stretched(thickness: Floats, rise: Floats, wet: NDArray[np.bool_]) -> Floats:
    """Thicknesses `z y x` [m] of wet cells when each column grows by `rise` `y x` [m].

    All cells of a column grow by the same factor, as in NEMO's z*: e3t = e3t_0 (1 + ssh / h_0).
    """
    height = np.sum(thickness, axis=0, where=wet, dtype=np.float64)
    ratio = 1 + np.divide(rise, height, out=np.zeros_like(height), where=wet[0])
    if not (ratio > 0).all():
        raise UserError(
            f"the sea level would lie below the sea floor in {int((~(ratio > 0)).sum())} columns: "
            "expected water in every wet column."
        )
    return thickness * ratio


def _patched(
    variable: netCDF4.Variable[Any], values: Floats, wet: NDArray[np.bool_], path: Path
) -> NDArray[Any]:
    """The variable's array with `values` in wet cells, in the type of the variable."""
    if variable.shape != (1, *values.shape):
        raise UserError(
            f"{variable.name} of {path} has shape {variable.shape}: expected one time and the "
            f"state's cells, {(1, *values.shape)}."
        )
    old = plain(variable)
    if old.dtype.kind != "f":
        raise UserError(
            f"{variable.name} of {path} holds integers ({old.dtype}): expected floating-point "
            "numbers, as NEMO writes them; give an unpacked restart."
        )
    return np.where(wet, values[None].astype(old.dtype), old)


def _replace(path: Path, patch: dict[str, NDArray[Any]]) -> None:
    with netCDF4.Dataset(path, "r+") as file:
        file.set_auto_maskandscale(False)
        for name, values in patch.items():
            file[name][...] = values


def _description(file: netCDF4.Dataset) -> list[Any]:
    """Dimensions, types and attributes, in the order of the file."""

    def attributes(
        owner: netCDF4.Dataset | netCDF4.Variable[Any],
    ) -> Iterator[tuple[str, bytes, str]]:
        for name in owner.ncattrs():
            value = np.asarray(owner.getncattr(name))
            yield name, value.tobytes(), str(value.dtype)

    return [
        file.data_model,
        [(name, len(size), size.isunlimited()) for name, size in file.dimensions.items()],
        list(attributes(file)),
        [
            (name, variable.dtype, variable.dimensions, list(attributes(variable)))
            for name, variable in file.variables.items()
        ],
    ]


def _namelist(path: Path, step: int | None, initial: InitialCondition) -> str:
    """Fragment of `namelist_cfg`; step: the template's `kt`, its last time step.

    The date is the template's (nn_rstctl = 2) or that of the state's season (1).
    """
    first = [f"   nn_it000     = {step + 1}"] if step is not None else []
    return "\n".join(
        [
            equation_switch(initial),
            "&namrun",
            "   ln_rstart    = .true.",
            "   ln_1st_euler = .true.   ! NEMO 4.0 and before: nn_euler = 0",
            f"   nn_rstctl    = {2 if initial.season is None else 1}",
            *date_lines(initial.season),
            *first,
            "   ! and nn_itend after it",
            f"   cn_ocerst_in = '{stem(path).name}'",
            "/",
        ]
    )
