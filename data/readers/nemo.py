"""NEMO output: curvilinear `nav_lon`, `nav_lat`, with the grid in the file or in a mesh mask.

Files of the whole domain or in pieces (`data.readers.nemo_pieces`); `grid_T` files and restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from data.errors import UserError
from data.kinds import of_right_kind
from data.readers.base import ModelOutput
from data.readers.cf import from_dataset, open_dataset
from data.readers.dimensions import is_time
from data.readers.merging import grouped_by_output, merged
from data.readers.nemo_mesh import Mesh, read_mesh
from data.readers.nemo_pieces import by_domain, open_pieces, whole_name
from data.readers.settings import NemoReader
from data.readers.variables import find_temperature

_OF_RESTART = {"tn": "thetao", "sn": "so", "sshn": "zos"}
_RESTART = {"tn", "sn"}
_FROM_MESH = {
    "mask": "mesh_mask",
    "area": "mesh_area",
    "thickness": "mesh_thickness",
    "depth": "mesh_depth",
    "longitude": "mesh_longitude",
    "latitude": "mesh_latitude",
}


def group(reader: NemoReader, paths: Sequence[Path]) -> list[list[Path]]:
    """Pieces of one domain and files of one output together, whole files alone."""
    return grouped_by_output(by_domain(paths), _first_piece, reader.variables)


def open_output(reader: NemoReader, *paths: Path) -> ModelOutput:
    """Open a whole file, all pieces of one, or the files that hold one output by variable.

    Raises UserError as `CfReader.open`, `data.readers.nemo_pieces.open_pieces` and
    `data.readers.nemo_mesh.read_mesh` do, or for a mesh mask of another grid.
    """
    path = whole_name(paths[0])
    groups = by_domain(paths)
    dataset = merged([open_pieces(group) for group in groups], [group[0] for group in groups])
    if _RESTART.issubset(dataset.variables):
        if reader.mesh_mask is None:
            raise UserError(
                f"{path} is a restart, which has no land mask: give the mesh mask of the same "
                "run as data.ingest.mesh_mask."
            )
        dataset = _as_output(dataset)
    if reader.mesh_mask is None:
        return from_dataset(dataset, path=path, conventions=reader)
    named = reader.variables.model_dump().values()
    suitable = of_right_kind(dataset, reader.equation, named=named)
    temperature = find_temperature(suitable, path, reader.variables)
    dataset = _with_mesh(dataset, temperature, read_mesh(reader.mesh_mask), path)
    names = {k: name for k, name in _FROM_MESH.items() if name in dataset}
    return from_dataset(dataset, path=path, conventions=reader.with_names(names))


def _first_piece(paths: Sequence[Path]) -> xr.Dataset:
    """Which variables and times an output has, from its first piece."""
    return _as_output(open_dataset(paths[0]))


def _as_output(dataset: xr.Dataset) -> xr.Dataset:
    """A restart (`tn`, `sn`, `sshn`) with the variable names and time axis of output."""
    dataset = dataset.rename({key: name for key, name in _OF_RESTART.items() if key in dataset})
    if "adatrj" in dataset and "time_counter" in dataset.dims:  # days since the run began
        clock = {"units": "days since the beginning of the run"}
        days = [float(dataset["adatrj"])]
        dataset = dataset.assign_coords(time_counter=("time_counter", days, clock))
    return dataset


def _with_mesh(
    dataset: xr.Dataset, temperature: xr.DataArray, mesh: Mesh, path: Path
) -> xr.Dataset:
    """The output with the grid, on the dimensions of temperature."""
    dims = _volume_dimensions(temperature)
    shape = tuple(temperature.sizes[dim] for dim in dims)
    if mesh.wet.shape != shape:
        raise UserError(
            f"the mesh mask has {mesh.wet.shape} cells (z, y, x), unlike {temperature.name} of "
            f"{path}, {shape}: give the mesh mask of the same run."
        )
    grid = {
        "mesh_mask": (dims, mesh.wet),
        "mesh_area": (dims[1:], mesh.area),
        "mesh_thickness": (dims, mesh.thickness),
        "mesh_depth": (dims[:1], mesh.depth, {"units": "m"}),
    }
    if mesh.positions is not None and "nav_lon" not in dataset.variables:
        longitude, latitude = mesh.positions
        grid["mesh_longitude"] = (dims[1:], longitude, {"units": "degrees_east"})
        grid["mesh_latitude"] = (dims[1:], latitude, {"units": "degrees_north"})
    return dataset.assign(grid)


def _volume_dimensions(temperature: xr.DataArray) -> tuple[str, ...]:
    """Names of z, y, x, told by NEMO's and XIOS' names (`x`, `y_grid_T`), else the last three."""
    dims = [str(dim) for dim in temperature.dims if not is_time(temperature, str(dim))][-3:]
    kinds = {dim.split("_")[0]: dim for dim in dims}
    if len(dims) < 3 or not {"x", "y"} <= set(kinds):
        return tuple(map(str, temperature.dims[-3:]))
    x, y = kinds["x"], kinds["y"]
    (z,) = [dim for dim in dims if dim not in (x, y)]
    return z, y, x
