"""zarr's fill value is not CF's, and coordinates have no missing values."""

from __future__ import annotations

import numpy as np
import pytest
import zarr


def _store(dataset, path):
    """The dataset in zarr format 2 as other tools write it: with zarr's default fill value, 0."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    for name, variable in dataset.variables.items():
        shape, kind = variable.shape, variable.dtype
        array = group.create_array(name, shape=shape, dtype=kind, fill_value=0)
        array[...] = variable.values
        array.attrs.update(variable.attrs | {"_ARRAY_DIMENSIONS": list(variable.dims)})
    return path


@pytest.mark.parametrize("state", [0, 3])
def test_a_cell_of_0_degrees_in_zarr_is_wet(ocean, wet, into_archive, tmp_path, state):
    source = ocean()
    source["thetao"][state, 4, 5, 7] = 0.0
    archive = into_archive(_store(source, tmp_path / "a.zarr"))
    np.testing.assert_array_equal(archive.grid.wet, wet)
    assert archive.read([state]).temperature[0, 4, 5, 7] == 0


def test_coordinates_of_0_in_zarr(ocean, into_archive, tmp_path):
    source = ocean().assign_coords(
        depth=("depth", [0.0, 50, 200, 1000, 3000], {"units": "m"}),
        lon=("lon", 10.0 * np.arange(8), {"units": "degrees_east"}),
    )
    archive = into_archive(_store(source, tmp_path / "a.zarr"))
    assert archive.grid.depth[0] == archive.grid.longitude[0] == archive.time[0] == 0


def test_packed_fields_in_zarr_keep_their_fill_value(ocean, wet, into_archive, tmp_path):
    packed = {"dtype": "i2", "scale_factor": 1e-3, "_FillValue": 0}
    encoding = {"thetao": packed | {"add_offset": 15.0}, "so": packed | {"add_offset": 30.0}}
    ocean().to_zarr(tmp_path / "a.zarr", zarr_format=2, encoding=encoding, consolidated=False)
    archive = into_archive(tmp_path / "a.zarr")
    np.testing.assert_array_equal(archive.grid.wet, wet)
    np.testing.assert_allclose(archive.read([5]).salinity[0], ocean().so[5].fillna(0), atol=1e-3)


def test_a_coordinate_that_equals_its_fill_value(ocean, into_archive):
    archive = into_archive(ocean(), encoding={"depth": {"_FillValue": 10.0}})
    assert archive.grid.depth[0] == 10
