"""NEMO output: curvilinear `nav_lon`, `nav_lat`, with the grid in the file or in a mesh mask.

Files of the whole domain or in pieces (`data.readers.nemo_pieces`); `grid_T` files and restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Literal

import xarray as xr
from pydantic import Field

from data.checks import require
from data.errors import UserError
from data.readers.base import ModelOutput, Reader
from data.readers.cf import from_dataset
from data.readers.levels import refuse_other_mesh
from data.readers.nemo_pieces import by_domain, open_pieces, whole_name

_MESH_NAMES = ("tmask", "e1t", "e2t", "e3t_0", "gdept_1d")
_OF_RESTART = {"tn": "thetao", "sn": "so", "sshn": "zos"}
_RESTART = {"tn", "sn"}
_FROM_MESH = {
    "mask": "mesh_mask",
    "area": "mesh_area",
    "thickness": "mesh_thickness",
    "depth": "mesh_depth",
}


class NemoReader(Reader):
    """NEMO's output and restarts, whole or in pieces.

    Mask, area, thickness and depth come from the mesh mask if there is one.
    """

    name: Literal["nemo"] = "nemo"
    mesh_mask: Path | None = Field(
        None, description="file with the grid, where the output lacks it; its pieces by a glob"
    )

    def outputs(self, paths: Sequence[Path]) -> list[list[Path]]:
        """Pieces of one domain together, whole files alone."""
        return by_domain(paths)

    def open(self, *paths: Path) -> ModelOutput:
        """Open a whole file or all pieces of one.

        Raises UserError as `CfReader.open` and `data.readers.nemo_pieces.open_pieces` do, or for a
        mesh mask of another grid.
        """
        path = whole_name(paths[0])
        dataset = open_pieces(paths)
        if _RESTART.issubset(dataset.variables):
            if self.mesh_mask is None:
                raise UserError(
                    f"{path} is a restart, which has no land mask: give the mesh mask of the same "
                    "run as mesh_mask."
                )
            dataset = _as_output(dataset)
        if self.mesh_mask is None:
            return from_dataset(dataset, path=path, conventions=self)
        mesh = open_pieces(_mesh_files(self.mesh_mask))
        dataset = _with_mesh(dataset, mesh, path, self.mesh_mask)
        return from_dataset(dataset, path=path, conventions=self.with_names(_FROM_MESH))


def _mesh_files(mesh_mask: Path) -> Sequence[Path]:
    """The mesh mask, or its pieces, which all match one pattern."""
    if not has_magic(str(mesh_mask)):
        return [mesh_mask]
    found = by_domain([Path(match) for match in sorted(glob(str(mesh_mask)))])
    if len(found) != 1:
        names = ", ".join(str(whole_name(group[0])) for group in found)
        raise UserError(
            f"mesh_mask {mesh_mask} matches {names or 'no file'}: expected one mesh mask or all "
            "pieces of one."
        )
    return found[0]


def _as_output(dataset: xr.Dataset) -> xr.Dataset:
    """A restart (`tn`, `sn`, `sshn`) with the variable names and time axis of output."""
    dataset = dataset.rename({key: name for key, name in _OF_RESTART.items() if key in dataset})
    if "adatrj" in dataset and "time_counter" in dataset.dims:  # days since the run began
        clock = {"units": "days since the beginning of the run"}
        days = [float(dataset["adatrj"])]
        dataset = dataset.assign_coords(time_counter=("time_counter", days, clock))
    return dataset


def _with_mesh(dataset: xr.Dataset, mesh: xr.Dataset, path: Path, mesh_path: Path) -> xr.Dataset:
    require(_MESH_NAMES, mesh.variables, path=mesh_path, expected="a NEMO mesh mask")
    mask = mesh["tmask"].squeeze()
    refuse_other_mesh(mesh, mask.values > 0, mesh_path)
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
