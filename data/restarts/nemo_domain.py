"""Open NEMO's files of a domain and compare the domain with a grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.grid import OceanGrid

_DEGREES = 0.01  # positions are stored in single precision
_RELATIVE_DEPTH = 0.01
_PACKING = ("scale_factor", "add_offset")


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """The file at `path` with values as stored: no masks, no scaling.

    Raises UserError if it cannot be read.
    """
    try:
        dataset = netCDF4.Dataset(path)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): give a NetCDF file that NEMO wrote."
        ) from error
    with dataset:
        dataset.set_auto_maskandscale(False)
        yield dataset


def plain(variable: netCDF4.Variable[Any]) -> NDArray[Any]:
    """The values as stored, which are the numbers that a reader finds.

    Raises UserError for a packed variable (`scale_factor`, `add_offset`), of which they are not.
    """
    packing = {name: variable.getncattr(name) for name in _PACKING if name in variable.ncattrs()}
    if packing:
        described = ", ".join(f"{name} {value:g}" for name, value in packing.items())
        raise UserError(
            f"{variable.name} of {variable.group().filepath()} is packed ({variable.dtype}, "
            f"{described}): expected the numbers themselves, as NEMO writes and reads them; unpack "
            "the file first (ncpdq -U)."
        )
    return variable[...]


def last_volume(variable: netCDF4.Variable[Any]) -> NDArray[Any]:
    """The last record of a variable over time, `z y x`. Raises UserError if it is packed."""
    return plain(variable).reshape(-1, *variable.shape[-3:])[-1]


def last_map(variable: netCDF4.Variable[Any]) -> NDArray[Any]:
    """The last record of a variable over time, `y x`. Raises UserError if it is packed."""
    return plain(variable).reshape(-1, *variable.shape[-2:])[-1]


def check_domain(
    dataset: netCDF4.Dataset, wet: NDArray[np.bool_], grid: OceanGrid, *, path: Path
) -> None:
    """Raise UserError unless the file's domain is the grid: size, positions, levels, wet cells.

    wet: the file's wet mask, `z y x`
    """
    _check_whole(dataset, path)
    if wet.shape != grid.shape:
        raise UserError(
            f"{path} has {wet.shape} cells (z, y, x), the state has {grid.shape}: give a file of "
            "the domain that the state was made for."
        )
    _check_positions(dataset, grid, path)
    only_file, only_state = int((wet & ~grid.wet).sum()), int((grid.wet & ~wet).sum())
    if only_file or only_state:
        raise UserError(
            f"{path} has another domain: {only_file} of its wet cells are land in the state, and "
            f"{only_state} of the state's are land there; give a file with the state's wet mask."
        )


def _check_whole(dataset: netCDF4.Dataset, path: Path) -> None:
    parts = int(getattr(dataset, "DOMAIN_number_total", 1))
    if parts > 1:
        raise UserError(
            f"{path} is one of {parts} pieces of a domain: join them with rebuild_nemo first."
        )


def _check_positions(dataset: netCDF4.Dataset, grid: OceanGrid, path: Path) -> None:
    """Compare longitude and latitude of wet columns and depth of levels, if the file has them."""
    shape = grid.shape[1:]
    column = grid.wet.any(axis=0)
    for name, expected in zip(("nav_lon", "nav_lat"), grid.positions, strict=True):
        if name not in dataset.variables:
            continue
        away = np.abs(plain(dataset[name]).reshape(shape) - expected)
        turn = 360 if grid.horizontal_units == "degrees" else np.inf
        if not (np.minimum(away, np.abs(turn - away))[column] < _DEGREES).all():
            raise UserError(
                f"{name} of {path} differs from the state's by up to {away[column].max():.4g} "
                f"{grid.horizontal_units}: give a file of the domain that the state was made for."
            )
    levels = plain(dataset["nav_lev"]) if "nav_lev" in dataset.variables else grid.depth
    if not np.allclose(levels, grid.depth, rtol=_RELATIVE_DEPTH, atol=0):
        raise UserError(
            f"nav_lev of {path} is {levels[0]:.4g} to {levels[-1]:.4g} m, the state's levels are "
            f"at {grid.depth[0]:.4g} to {grid.depth[-1]:.4g} m: give a file of the same levels."
        )
