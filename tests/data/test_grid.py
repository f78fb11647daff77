"""Faces of the levels, from thicknesses with partial cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from data.grid import OceanGrid
from data.readers.settings import MitgcmReader, NemoReader


def column_grid(depth: list[float], thickness: list[list[float]]) -> OceanGrid:
    """Levels by columns; a thickness of 0 is land."""
    heights = np.array(thickness)[:, None, :]
    return OceanGrid(
        depth=np.array(depth),
        thickness=heights,
        area=np.ones(heights.shape[1:]),
        wet=heights > 0,
        longitude=np.arange(heights.shape[2], dtype=float),
        latitude=np.zeros(1),
    )


def test_faces_are_those_of_whole_cells():
    # Centres of a stretched grid are not midway: 60 is not the mean of 25 and 120.
    grid = column_grid([25.0, 85.0, 210.0], [[50.0, 50.0], [20.0, 70.0], [0.0, 180.0]])
    np.testing.assert_allclose(grid.faces, [0, 50, 120, 300])
    np.testing.assert_allclose(grid.interface_depth, [50, 120])


def test_a_level_of_land_is_symmetric_about_its_centre():
    grid = column_grid([25.0, 85.0, 210.0], [[50.0, 50.0], [70.0, 30.0], [0.0, 0.0]])
    np.testing.assert_allclose(grid.faces, [0, 50, 120, 300])


def test_faces_stay_between_the_centres():
    cut = column_grid([25.0, 85.0, 210.0], [[50.0], [20.0], [10.0]])  # nowhere a whole cell
    np.testing.assert_allclose(cut.faces, [0, 50, 147.5, 272.5])
    thick = replace(cut, thickness=cut.thickness * 10)
    np.testing.assert_allclose(thick.faces[:3], [0, 55, 147.5])


def test_faces_of_mitgcm(shared_data):
    path = shared_data / "mitgcm_global4deg" / "mitgcm_global4deg_k1000.nc"
    grid = MitgcmReader().open(path).grid
    with xr.open_dataset(path, decode_times=False) as raw:
        np.testing.assert_allclose(grid.faces, np.abs(raw.depth_iface), atol=0.01)


def test_faces_of_nemo(shared_data):
    folder = shared_data / "nemo_dino4deg"
    grid = NemoReader().open(folder / "nemo_dino_4deg.nc").grid
    with xr.open_dataset(folder / "mesh_mask.nc", decode_times=False) as mesh:
        wet = mesh.tmask.values.squeeze() > 0
        heights = np.where(wet, mesh.e3t_0.values.squeeze(), 0).max(axis=(1, 2))[:-1]
        centres = np.where(wet, mesh.gdept_0.values.squeeze(), 0).max(axis=(1, 2))[:-1]
    # The deepest level is land.
    np.testing.assert_allclose(grid.faces[1:-1], np.cumsum(heights), atol=1.0)
    np.testing.assert_allclose(grid.faces[:-2] + 0.5 * heights, centres, rtol=0.01)
