"""Write a state as the initial temperature and salinity of NEMO (`namtsd`, `ln_tsd_init`).

Each file has one variable `(time_counter = 1, deptht, y, x)` over the whole domain without halo,
surface first, land 0. NEMO masks the fields and starts at rest, with sea level 0 and an Euler step.
With partial steps (`ln_zps`) it shifts the lowest cell of each column towards the cell above
(`dtatsd.F90`), so a restart is the better start for such a configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np

from data.archive.format import HORIZONTAL_NAMES, field_attributes, grid_variables
from data.checks import require
from data.restarts.initial_condition import (
    FLOAT_BYTES,
    Floats,
    InitialCondition,
    Precision,
    Written,
    netcdf_errors,
    stem,
    write_compared,
)
from data.restarts.nemo_domain import check_domain, last_volume, opened

YEAR_OF_365_DAYS = 2001
_VARIABLES = {"thetao": "votemper", "so": "vosaline"}
_SUFFIXES = {"thetao": "T", "so": "S"}
_DIMENSIONS = ("time_counter", "deptht", "y", "x")
_SWITCHES = {"nemo-seos": "ln_seos", "nemo-teos10": "ln_teos10", "nemo-eos80": "ln_eos80"}


@dataclass(frozen=True)
class NemoPair:
    """Writes `<path>_T.nc` (votemper) and `<path>_S.nc` (vosaline).

    mesh_mask: NEMO's mesh mask of the target domain, which is checked
    """

    precision: Precision = "single"
    mesh_mask: Path | None = None

    def files(self, path: Path) -> tuple[Path, ...]:
        """The temperature and the salinity file."""
        base = stem(path)
        return tuple(base.with_name(f"{base.name}_{_SUFFIXES[name]}.nc") for name in _VARIABLES)

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Write both files. Raises UserError, too, for a mesh mask of another domain."""
        if self.mesh_mask is not None:
            _check_mesh(self.mesh_mask, initial)
        kind = np.dtype(f"f{FLOAT_BYTES[self.precision]}")
        checked = initial.fields()
        fields = {name: checked[name].astype(kind) for name in _VARIABLES}
        files = dict(zip(_VARIABLES, self.files(path), strict=True))
        with netcdf_errors(stem(path)):
            write_compared(fields, files, write=partial(_write_file, initial), read=_read_file)
        return Written(tuple(files.values()), _namelist(files, initial))


def equation_switch(initial: InitialCondition) -> str:
    """A comment with the `nameos` switch of the state's equation of state."""
    switch = _SWITCHES.get(initial.equation_of_state)
    if switch is None:
        return f"! made for {initial.equation_of_state}, which NEMO does not have"
    return f"! made for &nameos {switch} = .true."


def _check_mesh(path: Path, initial: InitialCondition) -> None:
    with opened(path) as mesh:
        require(("tmask",), mesh.variables, path=path, expected="a NEMO mesh mask")
        check_domain(mesh, last_volume(mesh["tmask"]) > 0, initial.grid, path=path)


def _write_file(initial: InitialCondition, path: Path, name: str, values: Floats) -> None:
    """One variable with its axes. NEMO identifies time by its unlimited dimension."""
    grid = initial.grid
    with netCDF4.Dataset(path, "w", format="NETCDF4_CLASSIC") as file:
        for dimension, size in zip(_DIMENSIONS, (None, *grid.shape), strict=True):
            file.createDimension(dimension, size)
        time = file.createVariable("time_counter", "f8", ("time_counter",))
        time.setncatts({"units": "days since 0001-01-01 00:00:00", "calendar": "noleap"})
        time[:] = 0.0
        _write_positions(file, initial)
        variable = file.createVariable(_VARIABLES[name], values.dtype, _DIMENSIONS)
        variable.setncatts(
            field_attributes(initial.equation_of_state)[name]
            | {"coordinates": "time_counter deptht nav_lat nav_lon"}
        )
        variable[:] = values[None]
        file.setncatts(
            {
                "title": "initial condition of the ocean",
                "equation_of_state": initial.equation_of_state,
                **initial.attributes,
            }
        )


def _write_positions(file: netCDF4.Dataset, initial: InitialCondition) -> None:
    grid, described = initial.grid, grid_variables(initial.grid)
    x_name, y_name = HORIZONTAL_NAMES[grid.horizontal_units]
    longitude, latitude = grid.positions
    positions = {
        "nav_lon": (_DIMENSIONS[2:], longitude, described[x_name][2]),
        "nav_lat": (_DIMENSIONS[2:], latitude, described[y_name][2]),
        "deptht": (_DIMENSIONS[1:2], grid.depth, described["depth"][2]),
    }
    for name, (dimensions, values, attributes) in positions.items():
        variable = file.createVariable(name, "f4", dimensions)
        variable.setncatts(attributes)
        variable[:] = values


def _read_file(path: Path, name: str) -> Floats:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return file[_VARIABLES[name]][0]


def date_lines(season: float | None) -> list[str]:
    """Lines of `namrun` with the date of the season in a year of 365 days."""
    if season is None:
        return []
    day = date(YEAR_OF_365_DAYS, 1, 1) + timedelta(days=int(season * 365))
    return [f"   nn_date0    = 1{day:%m%d}   ! season {season:g} of the year", "   nn_leapy    = 0"]


def _namelist(files: dict[str, Path], initial: InitialCondition) -> str:
    """Fragment of `namelist_cfg`. -12: one record for the year, read as a climatology."""
    tem, sal = (
        f"'{files[name].name}', -12., '{_VARIABLES[name]}', .false., .true., 'yearly', '', '', ''"
        for name in ("thetao", "so")
    )
    sea_level = "! sea level starts at 0; a restart would include it"
    return "\n".join(
        [
            equation_switch(initial),
            *([sea_level] if initial.state.sea_level is not None else []),
            "&namrun",
            "   ln_rstart   = .false.",
            *date_lines(initial.season),
            "/",
            "&namtsd",
            "   ln_tsd_init = .true.",
            "   ln_tsd_dmp  = .false.",
            "   cn_dir      = './'",
            f"   sn_tem      = {tem}",
            f"   sn_sal      = {sal}",
            "/",
        ]
    )
