"""NEMO output: curvilinear `nav_lon`, `nav_lat`, with the grid in the file or in a mesh mask."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from data.errors import UserError
from data.readers.cf import Conventions, ModelOutput, Variables, from_dataset, open_dataset

_MESH_NAMES = ("tmask", "e1t", "e2t", "e3t_0", "gdept_1d")
_FROM_MESH = {
    "mask": "mesh_mask",
    "area": "mesh_area",
    "thickness": "mesh_thickness",
    "depth": "mesh_depth",
}


def open_nemo(
    path: Path, *, conventions: Conventions, mesh_mask: Path | None = None
) -> ModelOutput:
    """Open one file; mask, area, thickness and depth come from `mesh_mask` if it is given.

    Raises UserError as `data.readers.cf.open_cf` does, or for a mesh mask of another grid.
    """
    dataset = open_dataset(path)
    if mesh_mask is not None:
        dataset = _with_mesh(dataset, open_dataset(mesh_mask), path, mesh_mask)
        given = conventions.variables.model_dump(exclude_none=True)
        variables = Variables(**{**_FROM_MESH, **given})
        conventions = conventions.model_copy(update={"variables": variables})
    return from_dataset(dataset, path=path, conventions=conventions)


def _with_mesh(dataset: xr.Dataset, mesh: xr.Dataset, path: Path, mesh_path: Path) -> xr.Dataset:
    missing = [name for name in _MESH_NAMES if name not in mesh.variables]
    if missing:
        raise UserError(
            f"{mesh_path} has no {', '.join(missing)}: expected a NEMO mesh mask; found "
            f"{', '.join(map(str, mesh.variables))}."
        )
    mask = mesh["tmask"].squeeze()
    dims = _volume_dimensions(dataset, mask.shape)
    if dims is None:
        raise UserError(
            f"{mesh_path} has {mask.shape} cells (z, y, x), unlike any variable of {path}: give "
            "the mesh mask of the same run."
        )
    return dataset.assign(
        mesh_mask=(dims, mask.values),
        mesh_area=(dims[1:], (mesh["e1t"] * mesh["e2t"]).squeeze().values),
        mesh_thickness=(dims, mesh["e3t_0"].squeeze().values),
        mesh_depth=(dims[:1], mesh["gdept_1d"].squeeze().values, {"units": "m"}),
    )


def _volume_dimensions(dataset: xr.Dataset, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """Names of the last three dimensions of the first variable over time and the volume `shape`."""
    for variable in dataset.data_vars.values():
        if variable.ndim == 4 and variable.shape[1:] == shape:
            return tuple(map(str, variable.dims[1:]))
    return None
