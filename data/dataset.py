"""States as an `xarray.Dataset` of CF conventions: names, units and coordinates.

A regular grid has the dimension coordinates `lat` and `lon` (`y` and `x` in km on a plane). A
curvilinear grid has the dimensions `j` and `i` and two-dimensional coordinates. Land is NaN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from data.archive.format import (
    GRID_ATTRIBUTES,
    HORIZONTAL_ATTRIBUTES,
    HORIZONTAL_NAMES,
    field_attributes,
)
from data.grid import OceanGrid, wet_tensor
from data.parameters import parameter_attributes
from data.state import State

CONVENTIONS = "CF-1.11"
MEMBER = "member"
MEMBER_ATTRIBUTES = {
    "standard_name": "realization",
    "long_name": "ensemble member",
    "units": "1",
}


def states_dataset(
    state: State,
    *,
    grid: OceanGrid,
    equation_of_state: str,
    conditions: Mapping[str, np.ndarray] | None = None,
    units: Mapping[str, str] | None = None,
    attributes: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """A batch of states as a dataset with the dimension `member`.

    conditions: parameters, season and age by name, each `b`; units: of the parameters, where they
        are known; attributes: of the dataset, such as its provenance
    """
    wet = wet_tensor(grid)
    fields = {"thetao": state.temperature, "so": state.salinity, "zos": state.sea_level}
    raw = xr.Dataset(
        {
            name: (
                (MEMBER, *(("depth",) if name != "zos" else ()), "y", "x"),
                torch.where(wet[0] if name == "zos" else wet, field.cpu(), torch.nan).numpy(),
            )
            for name, field in fields.items()
            if field is not None
        }
    ).assign_coords({MEMBER: (MEMBER, np.arange(len(state)), MEMBER_ATTRIBUTES)})
    given = condition_coordinates(conditions or {}, units=units or {}, dimension=MEMBER)
    return described(
        raw.assign_coords(given),
        grid=grid,
        equation_of_state=equation_of_state,
        attributes=attributes or {},
    )


def described(
    raw: xr.Dataset,
    *,
    grid: OceanGrid,
    equation_of_state: str,
    attributes: Mapping[str, object],
) -> xr.Dataset:
    """Fields with the dimensions depth, y and x, as a dataset with coordinates and attributes.

    The fields may be loaded lazily: their values are not read.
    """
    dataset = with_grid(raw, grid)
    known = field_attributes(equation_of_state)
    for name, field in dataset.data_vars.items():
        field.attrs = {**known[str(name)], "cell_methods": "area: mean where sea"}
        field.attrs["cell_measures"] = "area: cell_area"
    return dataset.drop_encoding().assign_attrs(
        {
            "Conventions": CONVENTIONS,
            "equation_of_state": equation_of_state,
            "periodic_x": int(grid.periodic_x),
            **{name: plain(value) for name, value in attributes.items()},
        }
    )


def with_grid(raw: xr.Dataset, grid: OceanGrid) -> xr.Dataset:
    """Fields with the dimensions depth, y and x, on the coordinates of the grid."""
    x_dim, y_dim = horizontal_dimensions(grid)
    return raw.rename({"x": x_dim, "y": y_dim}).assign_coords(grid_coordinates(grid))


def horizontal_dimensions(grid: OceanGrid) -> tuple[str, str]:
    """Names of the dimensions in x and y."""
    return HORIZONTAL_NAMES[grid.horizontal_units] if grid.longitude.ndim == 1 else ("i", "j")


def grid_coordinates(grid: OceanGrid) -> dict[str, xr.Variable]:
    """Depth and its bounds, horizontal places, cell area, thickness and wet mask."""
    x_name, y_name = HORIZONTAL_NAMES[grid.horizontal_units]
    x_dim, y_dim = horizontal_dimensions(grid)
    regular = grid.longitude.ndim == 1
    places = {}
    for name, dim, axis, values in (
        (x_name, x_dim, "X", grid.longitude),
        (y_name, y_dim, "Y", grid.latitude),
    ):
        given = HORIZONTAL_ATTRIBUTES[name] | ({"axis": axis} if regular else {})
        places[name] = xr.Variable((dim,) if regular else (y_dim, x_dim), values, given)
    bounds = np.stack([grid.faces[:-1], grid.faces[1:]], axis=1)
    volume = ("depth", y_dim, x_dim)
    return {
        "depth": xr.Variable(
            "depth", grid.depth, GRID_ATTRIBUTES["depth"] | {"bounds": "depth_bnds"}
        ),
        "depth_bnds": xr.Variable(("depth", "bnds"), bounds),
        **places,
        "cell_area": xr.Variable((y_dim, x_dim), grid.area, GRID_ATTRIBUTES["cell_area"]),
        "thickness": xr.Variable(volume, grid.thickness, GRID_ATTRIBUTES["thickness"]),
        "wet": xr.Variable(volume, grid.wet.astype(np.int8), GRID_ATTRIBUTES["wet"]),
    }


def condition_coordinates(
    conditions: Mapping[str, np.ndarray], *, units: Mapping[str, str], dimension: str
) -> dict[str, xr.Variable]:
    """Parameters, season and age as coordinates of the states; units: of parameters by name."""
    return {
        name: xr.Variable(dimension, values, parameter_attributes(name, units))
        for name, values in conditions.items()
    }


def plain(value: object) -> str | int | float:
    """A value as an attribute that NetCDF can store: others than texts and numbers as JSON."""
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str | int | float) else json.dumps(value)
