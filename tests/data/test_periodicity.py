"""Whether x is periodic, by positions and, where these do not tell, by values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data.grid import OceanGrid
from data.periodicity import periodic_x
from data.readers.base import ModelOutput

COLUMNS = 12


def output(longitude, *, course, walls=False, attributes=None, units="degrees"):
    """One state whose temperature follows `course` along x."""
    wet = np.ones((2, 4, COLUMNS), bool)
    wet[..., 0] = not walls
    grid = OceanGrid(
        depth=np.array([10.0, 50.0]),
        thickness=np.full(wet.shape, 20.0),
        area=np.ones((4, COLUMNS)),
        wet=wet,
        longitude=longitude,
        latitude=np.arange(4.0),
        horizontal_units=units,
    )
    values = np.broadcast_to(course, (1, *wet.shape)).astype("f4")
    field = xr.DataArray(values, dims=("t", "z", "y", "x"))
    dataset = xr.Dataset(attrs=attributes or {})
    return ModelOutput(
        path=Path("x.nc"),
        grid=grid,
        years=np.zeros(1),
        clock=None,
        temperature=field,
        salinity=field,
        sea_level=None,
        dataset=dataset,
        order=slice(None),
        offset=0.0,
    )


GLOBE, SECTOR = 30.0 * np.arange(COLUMNS) + 200, 4.0 * np.arange(COLUMNS)
WAVE, SLOPE = np.cos(2 * np.pi * np.arange(COLUMNS) / COLUMNS), np.arange(COLUMNS)


@pytest.mark.parametrize(
    ("made", "periodic", "check"),
    [
        (output(GLOBE, course=SLOPE), True, False),
        (output(GLOBE % 360, course=SLOPE), True, False),
        (output(360 / (COLUMNS - 1) * np.arange(COLUMNS), course=WAVE), False, True),
        (output(SECTOR, course=WAVE), True, True),
        (output(SECTOR, course=SLOPE), False, True),
        (output(SECTOR, course=WAVE, walls=True), False, False),
        (output(20.0 * SECTOR, course=WAVE, units="km"), True, True),
        (output(SECTOR, course=SLOPE, attributes={"periodic_x": 1}), True, False),
    ],
    ids=["globe", "date line", "cyclic point", "sector", "open", "walls", "plane", "stated"],
)
def test_ends_of_x(made, periodic, check):
    finding = periodic_x(made)
    assert (finding.value, finding.check) == (periodic, check)


def test_positions_of_curvilinear_grids():
    made = output(GLOBE, course=SLOPE)
    longitude, latitude = np.meshgrid(GLOBE, np.arange(4.0))
    curved = replace(made, grid=replace(made.grid, longitude=longitude, latitude=latitude))
    assert periodic_x(curved).value
