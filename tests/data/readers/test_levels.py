"""Vertical coordinates that are not depths, and coordinates that only count."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from data.readers.levels import refuse_other_mesh

SIGMA = np.linspace(-0.1, -0.9, 5)
LEVELS = np.arange(1, 6.0)


def on_levels(dataset, name, values, **attributes):
    bare = dataset.drop_vars("depth")
    bare = bare if name == "depth" else bare.rename_dims(depth=name)
    return bare.assign_coords({name: (name, values, attributes)})


@pytest.mark.parametrize(
    ("name", "values", "attributes", "kind"),
    [
        ("s_rho", SIGMA, {"standard_name": "ocean_s_coordinate_g2"}, r"terrain-following \(sigma"),
        ("lev", SIGMA, {"formula_terms": "sigma: lev eta: zos depth: h"}, "terrain-following"),
        ("sigma", -SIGMA, {}, "terrain-following"),
        ("level", -SIGMA, {"units": "sigma_level"}, "terrain-following"),
        ("depth", SIGMA, {"units": "m", "positive": "up"}, "terrain-following"),
        ("depth", -SIGMA, {}, "terrain-following"),
        ("rho2_l", 1030 + LEVELS, {"units": "kg m-3"}, "isopycnal"),
        ("sigma2", 30 + LEVELS, {"long_name": "target density"}, "isopycnal"),
    ],
)
@pytest.mark.parametrize("upward", [False, True])
def test_other_coordinates_are_refused_by_name_whatever_the_settings(
    ocean, into_archive, name, values, attributes, kind, upward
):
    settings = {"depth_positive": "up"} if upward else {}
    source = on_levels(ocean(), name, values, **attributes)
    with pytest.raises(UserError, match=kind) as caught:
        into_archive(source, variables={"depth": name}, **settings)
    assert "depth_positive" not in str(caught.value)


def test_a_file_on_sigma_levels_is_not_asked_for_its_depth(ocean, into_archive):
    source = on_levels(ocean(), "s_rho", SIGMA, standard_name="ocean_s_coordinate_g2")
    with pytest.raises(UserError, match=r"terrain-following .* interpolate the states to depths"):
        into_archive(source)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("units", [None, "1", "level"])
def test_numbers_of_levels_are_not_depths(ocean, into_archive, first, units):
    attributes = {} if units is None else {"units": units}
    source = on_levels(ocean(), "lev", first + np.arange(5.0), **attributes)
    source["gdept_1d"] = ("lev", [10.0, 50.0, 200.0, 1000.0, 3000.0])
    with pytest.raises(UserError, match=r"lev of .* numbers the levels .*the file has gdept_1d"):
        into_archive(source, variables={"depth": "lev"})
    np.testing.assert_allclose(
        into_archive(source, variables={"depth": "gdept_1d"}).grid.depth, [10, 50, 200, 1000, 3000]
    )


def test_levels_a_metre_apart_are_depths(ocean, into_archive):
    source = on_levels(ocean(), "depth", LEVELS, units="m")
    np.testing.assert_array_equal(into_archive(source).grid.depth, LEVELS)


@pytest.mark.parametrize("first", [0.0, 0.5, 1.0])
def test_numbers_of_cells_are_not_positions(ocean, into_archive, first):
    source = ocean().drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    lon, lat = np.meshgrid(5.0 + 10 * np.arange(8), -25.0 + 10 * np.arange(6))
    source = source.assign(glamt=(("y", "x"), lon), gphit=(("y", "x"), lat))
    source = source.assign_coords(x=first + np.arange(8), y=first + np.arange(6))
    with pytest.raises(UserError, match=r"x and y of .* number the cells .* has glamt, gphit"):
        into_archive(source, variables={"longitude": "x", "latitude": "y"})
    grid = into_archive(source, variables={"longitude": "glamt", "latitude": "gphit"}).grid
    np.testing.assert_array_equal(grid.latitude, lat)


def test_a_grid_of_one_degree_is_no_number_of_cells(ocean, into_archive):
    source = ocean().assign_coords(
        lon=("lon", np.arange(8.0), {"units": "degrees_east"}),
        lat=("lat", np.arange(6.0), {"units": "degrees_north"}),
    )
    np.testing.assert_array_equal(into_archive(source).grid.longitude, np.arange(8))


def _mesh(bottom, **variables):
    """Depths of 5 levels that reach from the surface to `bottom` `y x`."""
    share = np.array([0.02, 0.1, 0.3, 0.6, 0.9])[:, None, None]
    cells = {"gdept_0": (("z", "y", "x"), share * bottom), "gdept_1d": ("z", share[:, 0, 0] * 4e3)}
    return xr.Dataset(cells | {name: ((), value) for name, value in variables.items()})


def test_a_mesh_mask_with_terrain_following_levels(tmp_path):
    wet = np.ones((5, 6, 8), bool)
    sloping = np.linspace(300, 4000, 8) * np.ones((6, 1))
    for mesh in (_mesh(sloping), _mesh(np.full((6, 8), 4e3), ln_sco=1)):
        with pytest.raises(UserError, match=r"vertical coordinate of .* is terrain-following"):
            refuse_other_mesh(mesh, wet, tmp_path)
    steps = _mesh(np.full((6, 8), 4e3), ln_sco=0)
    steps["gdept_0"][-1] *= 0.8  # partial cells
    refuse_other_mesh(steps, wet, tmp_path)


def test_thickness_that_follows_the_terrain(ocean, into_archive):
    share = np.array([0.01, 0.03, 0.11, 0.35, 0.5])[:, None, None]
    cells = share * np.linspace(300, 4000, 8) * np.ones((6, 1))
    source = ocean().assign(thkcello=(("depth", "lat", "lon"), cells))
    with pytest.raises(UserError, match=r"thickness of .* (varies along its levels|does not fit)"):
        into_archive(source)
