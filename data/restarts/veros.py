"""Write a state into a copy of a Veros restart, at all time levels.

Veros stores `core/temp` and `core/salt` as `(nx + 4, ny + 4, nz, 3)` in HDF5: x first, levels from
the sea floor up, two ghost cells on each side, three time levels. The density of the template is
kept; the first tracer step updates it. By default its velocities are also kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.grid import OceanGrid
from data.restarts.initial_condition import (
    Floats,
    InitialCondition,
    Velocities,
    VelocityChoice,
    Written,
    checked_velocities,
    copied_template,
    reads_differently,
    same_bytes,
)
from data.restarts.veros_flow import vertical_velocity, with_depth_mean
from data.veros_layout import GHOSTS, INTERIOR, h5py, upright

_VARIABLES = {"core/temp": "thetao", "core/salt": "so"}
_FLOW = ("core/u", "core/v", "core/w")
_TENDENCIES = ("core/du", "core/dv", "core/dpsi", "core/dpsin")  # of the previous step
_STREAM_FUNCTION = "core/psi"
_EQUATIONS = {  # by eq_of_state_type
    "veros-linear": 1,
    "veros-nonlinear1": 2,
    "veros-vallis": 3,
    "veros-nonlinear3": 4,
    "veros-gsw": 5,
}


@dataclass(frozen=True)
class VerosRestart:
    """Writes a restart that differs from `template` only in the state.

    velocities: those of the template, 0 ("rest"), or those of the initial condition with the depth
        mean of the template ("balanced", see `data.restarts.veros_flow`)
    """

    template: Path
    velocities: VelocityChoice = "template"

    def files(self, path: Path) -> tuple[Path, ...]:
        """One file."""
        return (path,)

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Write T and S at all time levels, and velocities if chosen, into a copy of the template.

        A rigid lid has no sea level. With new velocities the tendencies of the previous step are
        set to 0; at rest also the stream function.

        Raises UserError, too, if the template is not a restart of the state's domain.
        """
        patch = self._patch(initial)
        with copied_template(self.template, path=path) as partial:
            with h5py().File(partial, "r+") as file:
                for name, values in patch.items():
                    file[name][...] = values
            self._compare(partial, patch, path)
        return Written((path,), _settings(path, initial))

    def _patch(self, initial: InitialCondition) -> dict[str, Floats]:
        """New arrays, `x y z time` with ghosts, in the template's types."""
        fields, grid = initial.fields(), initial.grid
        stored = self._read_template()
        _check_domain(stored["core/salt"], grid, self.template)
        new = {variable: fields[name] for variable, name in _VARIABLES.items()}
        patch = {}
        if self.velocities != "template":
            new |= dict(zip(_FLOW, self._flow(initial, stored), strict=True))
            cleared = (*_TENDENCIES, *([_STREAM_FUNCTION] if self.velocities == "rest" else []))
            patch = {name: np.zeros_like(stored[name]) for name in cleared if name in stored}
        filled = {
            variable: _filled(stored[variable], values, periodic_x=grid.periodic_x)
            for variable, values in new.items()
        }
        return patch | filled

    def _flow(self, initial: InitialCondition, stored: dict[str, Floats]) -> tuple[Floats, ...]:
        """u, v and w, `z y x` [m/s]."""
        shape, grid = initial.grid.shape, initial.grid
        if self.velocities == "rest":
            return (np.zeros(shape),) * 3
        if grid.latitude.ndim != 1 or grid.horizontal_units != "degrees":
            raise UserError("Veros' grid has rows and columns of equal latitude and longitude.")
        for name in _FLOW:
            if stored[name].shape != stored["core/salt"].shape:
                raise UserError(
                    f"{name} of {self.template} has shape {stored[name].shape}, core/salt "
                    f"{stored['core/salt'].shape}: give a restart that Veros wrote."
                )
        now = int(stored["core/tau"])
        own = Velocities(*(upright(stored[name][INTERIOR][..., now]) for name in _FLOW[:2]))
        flow = with_depth_mean(checked_velocities(initial), own, grid)
        return (*flow, vertical_velocity(flow, grid))

    def _read_template(self) -> dict[str, Floats]:
        needed, optional = [*_VARIABLES], []
        if self.velocities != "template":
            needed += [*_FLOW, "core/tau"]
            optional = [*_TENDENCIES, _STREAM_FUNCTION]
        try:
            with h5py().File(self.template) as file:
                names = [*needed, *(name for name in optional if name in file)]
                stored = {name: file[name][...] for name in names}
        except (OSError, KeyError) as error:
            raise UserError(
                f"{self.template} cannot be read ({error}): give an HDF5 restart of Veros, with "
                f"{', '.join(needed)}."
            ) from error
        for name in set(stored) - {"core/tau"}:
            if stored[name].dtype.kind != "f":
                raise UserError(
                    f"{name} of {self.template} holds {stored[name].dtype}: expected "
                    "floating-point numbers, as Veros writes them; give an unpacked restart."
                )
        return stored

    def _compare(self, partial: Path, patch: dict[str, Floats], path: Path) -> None:
        """Raise UserError unless `partial` equals the template with `patch` applied."""
        expected, found = _contents(self.template), _contents(partial)
        expected |= patch
        if expected.keys() != found.keys():
            raise reads_differently(path, "the list of variables")
        for name, values in expected.items():
            if not same_bytes(values, found[name]):
                raise reads_differently(path, name)


def _contents(path: Path) -> dict[str, NDArray[Any]]:
    """All datasets and attributes of the file by path."""
    contents: dict[str, NDArray[Any]] = {}

    def add(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            contents[name] = np.asarray(item[...])
        contents.update({f"{name}@{key}": np.asarray(v) for key, v in item.attrs.items()})

    with h5py().File(path) as file:
        add("", file)
        file.visititems(add)
    return contents


def _check_domain(salinity: Floats, grid: OceanGrid, path: Path) -> None:
    """Raise UserError unless the template has the shape and the wet cells of the grid."""
    levels, rows, columns = grid.shape
    expected = (columns + 2 * GHOSTS, rows + 2 * GHOSTS, levels, 3)
    if salinity.shape != expected:
        raise UserError(
            f"core/salt of {path} has shape {salinity.shape}: expected {expected}, x, y, z "
            f"and 3 times with 2 ghost cells on each side; give a restart of the "
            "same domain."
        )
    wet = upright((salinity[INTERIOR] != 0).any(axis=-1))
    different = int((wet != grid.wet).sum())
    if different:
        raise UserError(
            f"{path} has another domain: {different} cells are wet in it or in the state but not "
            "in both; give a restart with the state's wet mask."
        )


def _filled(stored: Floats, values: Floats, *, periodic_x: bool) -> Floats:
    """`values` `z y x` in the interior at all time levels, and in ghost cells of a periodic x."""
    filled = stored.copy()
    filled[INTERIOR] = values[::-1].transpose(2, 1, 0)[..., None]
    if periodic_x:
        filled[:GHOSTS] = filled[-2 * GHOSTS : -GHOSTS]
        filled[-GHOSTS:] = filled[GHOSTS : 2 * GHOSTS]
    return filled


def _settings(path: Path, initial: InitialCondition) -> str:
    """Settings of a Veros setup that starts from the restart."""
    equation, season = initial.equation_of_state, initial.season
    clock = f"# the state is of season {season} of the year; set vs.time in the restart to it"
    number = _EQUATIONS.get(equation)
    foreign = f"# the state was made for {equation}, which Veros does not have"
    return "\n".join(
        [
            "# Veros, in set_parameter, with the template's set-up and diagnostics",
            f'settings.restart_input_filename = "{path.name}"',
            f"settings.eq_of_state_type = {number}" if number else foreign,
            "# and before the set-up is built",
            "runtime_settings.force_overwrite = False",
            *([] if season is None else [clock]),
        ]
    )
