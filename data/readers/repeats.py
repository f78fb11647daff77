"""Finds columns that are in a file twice, as halos and cyclic points are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from data.errors import UserError
from data.grid import OceanGrid
from data.plausibility import MOST_REPEATED, repeated_columns


def without_columns(
    found: Mapping[str, xr.DataArray], x: str, count: int, path: Path
) -> dict[str, xr.DataArray]:
    """The variables without the last `count` columns of the dimension `x`.

    Raises UserError unless temperature and salinity of the first state are there as in the first
    columns.
    """
    for name in ("temperature", "salinity"):
        field = found[name].transpose(..., x)
        first = field[(0,) * (field.ndim - 3)].values
        same = np.array_equal(first[..., :count], first[..., -count:], equal_nan=True)
        if 2 * count >= first.shape[-1] or not same:
            raise UserError(
                f"the last {count} of {first.shape[-1]} columns of {path} do not repeat the first "
                f"in {name}: expected copies with data.ingest.drop_columns: {count}; correct it."
            )
    return {
        name: field.isel({x: slice(None, -count)}) if x in field.dims else field
        for name, field in found.items()
    }


def check_repeats(
    temperature: xr.DataArray, salinity: xr.DataArray, grid: OceanGrid, order: slice, path: Path
) -> None:
    """Raise UserError if the last columns of a periodic axis hold the values of the first.

    `data.plausibility.check_grid` compares longitudes; this finds copies in a sector or on a plane
    too, where the copies are a basin's width apart.
    """
    if not grid.periodic_x:
        return
    fields = [np.where(grid.wet, f[0].values[order], 0) for f in (temperature, salinity)]

    def same(count: int) -> bool:
        wet = grid.wet[..., :count]
        return (
            bool(wet.any(axis=(0, 1)).all())
            and np.array_equal(wet, grid.wet[..., -count:])
            and all(np.array_equal(f[..., :count], f[..., -count:]) for f in fields)
        )

    # In a state without any change along x every column equals every other.
    if all((f == f[..., :1])[grid.wet & grid.wet[..., :1]].all() for f in fields):
        return
    most = min(MOST_REPEATED, grid.shape[2] // 2)
    count = next((count for count in range(most, 0, -1) if same(count)), 0)
    if count:
        raise repeated_columns(count, source=path)
