"""NEMO's initial temperature and salinity, as `fldread` takes them."""

from __future__ import annotations

from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from data.errors import UserError
from data.grid import OceanGrid
from data.restarts.initial_condition import InitialCondition
from data.restarts.nemo import NemoPair
from data.state import State


@pytest.fixture
def initial(small_grid, random_state):
    return InitialCondition(
        random_state(small_grid, seed=0),
        small_grid,
        "nemo-teos10",
        attributes={"member": 3},
    )


@pytest.mark.parametrize(("precision", "kind"), [("single", np.float32), ("double", np.float64)])
def test_layout(initial, tmp_path, precision, kind):
    written = NemoPair(precision=precision).write(initial, path=tmp_path / "start.nc")
    assert [file.name for file in written.files] == ["start_T.nc", "start_S.nc"]
    assert len(list(tmp_path.iterdir())) == 2
    expected = (initial.state.temperature, initial.state.salinity)
    for file, name, field in zip(written.files, ("votemper", "vosaline"), expected, strict=True):
        with netCDF4.Dataset(file) as data:
            data.set_auto_maskandscale(False)
            assert data[name].dimensions == ("time_counter", "deptht", "y", "x")
            assert data[name].dtype == kind
            assert data[name].shape == (1, *initial.grid.shape)
            unlimited = {n for n, dimension in data.dimensions.items() if dimension.isunlimited()}
            assert unlimited == {"time_counter"}
            assert "_FillValue" not in data[name].ncattrs()
            land = ~initial.grid.wet
            np.testing.assert_array_equal(data[name][0], np.where(land, 0, field[0].numpy()))
            np.testing.assert_allclose(data["deptht"][:], initial.grid.depth)
            assert data["nav_lat"].shape == initial.grid.shape[1:]
            assert data.member == 3
    with xr.open_dataset(written.files[0]) as data:
        name = data["votemper"].attrs["standard_name"]
        assert name == "sea_water_conservative_temperature"
        assert data["time_counter"].size == 1


def test_the_namelist_names_files_and_variables(initial, tmp_path):
    lines = NemoPair().write(initial, path=tmp_path / "start.nc").namelist.splitlines()
    namelist = {
        key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)
    }
    record = "-12., '{}', .false., .true., 'yearly', '', '', ''"
    assert namelist["sn_tem"] == f"'start_T.nc', {record.format('votemper')}"
    assert namelist["sn_sal"] == f"'start_S.nc', {record.format('vosaline')}"
    assert namelist["ln_tsd_init"] == ".true."
    assert namelist["ln_tsd_dmp"] == namelist["ln_rstart"] == ".false."
    assert "! made for &nameos ln_teos10 = .true." in lines
    assert any("sea level starts at 0" in line for line in lines)


@pytest.mark.parametrize(
    ("season", "date"), [(0.0, "10101"), (0.25, "10402"), (0.5, "10702"), (0.999, "11231")]
)
def test_the_model_starts_in_the_season_of_the_state(initial, tmp_path, season, date):
    lines = NemoPair().write(replace(initial, season=season), path=tmp_path / "a").namelist
    assert f"   nn_date0    = {date}   ! season {season:g} of the year" in lines.splitlines()
    assert "nn_date0" not in NemoPair().write(initial, path=tmp_path / "b").namelist


def test_a_foreign_equation_of_state_is_named(initial, tmp_path):
    foreign = replace(initial, equation_of_state="veros-gsw")
    lines = NemoPair().write(foreign, path=tmp_path / "start").namelist.splitlines()
    assert "! made for veros-gsw, which NEMO does not have" in lines


def _dino_grid() -> OceanGrid:
    """The size of DINO at 1 degree: 36 levels, 199 rows, 52 columns, walls around."""
    shape = (36, 199, 52)
    wet = np.ones(shape, dtype=bool)
    wet[-1], wet[:, [0, -1]] = False, False
    depth = np.linspace(5, 3900, 36)
    rows, columns = np.linspace(-70, 70, 199), np.linspace(-1, 50, 52)
    latitude, longitude = np.meshgrid(rows, columns, indexing="ij")
    return OceanGrid(
        depth, np.full(shape, 110.0), np.full(shape[1:], 1e10), wet, longitude, latitude, True
    )


def test_a_pair_on_the_grid_of_dino(tmp_path):
    grid = _dino_grid()
    warm = torch.linspace(20, 2, 36)[:, None, None] * torch.from_numpy(grid.wet)
    initial = InitialCondition(State(warm[None], (warm + 30)[None]), grid, "nemo-seos")
    for file in NemoPair().write(initial, path=tmp_path / "start").files:
        with netCDF4.Dataset(file) as data:
            sizes = {name: len(dimension) for name, dimension in data.dimensions.items()}
            assert sizes == {"time_counter": 1, "deptht": 36, "y": 199, "x": 52}
            assert not data.variables.keys() - {
                *("time_counter", "nav_lon", "nav_lat", "deptht", "votemper", "vosaline")
            }


def test_the_mesh_mask_of_the_target_is_compared(initial, tmp_path):
    def mesh(wet):
        path = tmp_path / "mesh_mask.nc"
        dims = ("time_counter", "nav_lev", "y", "x")
        xr.Dataset({"tmask": (dims, wet[None].astype("i1"))}).to_netcdf(path)
        return path

    wet = initial.grid.wet.copy()
    NemoPair(mesh_mask=mesh(wet)).write(initial, path=tmp_path / "start")
    wet[0, 2, :3] = False
    with pytest.raises(UserError, match=r"0 of its wet cells .* 3 of the state's are land there"):
        NemoPair(mesh_mask=mesh(wet)).write(initial, path=tmp_path / "other")
    with pytest.raises(UserError, match=r"\(4, 5, 5\) cells .* the state has \(4, 6, 5\)"):
        NemoPair(mesh_mask=mesh(wet[:, 1:])).write(initial, path=tmp_path / "other")
    with pytest.raises(UserError, match=r"has no tmask: expected a NEMO mesh mask"):
        NemoPair(mesh_mask=tmp_path / "start_T.nc").write(initial, path=tmp_path / "other")
    with pytest.raises(UserError, match=r"absent.nc cannot be read"):
        NemoPair(mesh_mask=tmp_path / "absent.nc").write(initial, path=tmp_path / "other")
    assert not list(tmp_path.glob("other*"))


def test_the_real_mesh_mask_fits_its_own_states_only(dino_output, shared_data, tmp_path):
    folder = shared_data / "nemo_dino4deg"
    initial = InitialCondition(dino_output.read(slice(-1, None)), dino_output.grid, "nemo-seos")
    writer = NemoPair(mesh_mask=folder / "mesh_mask.nc")
    assert len(writer.write(initial, path=tmp_path / "start").files) == 2
    turned = replace(dino_output.grid, longitude=dino_output.grid.longitude + 2)
    with pytest.raises(UserError, match=r"nav_lon of .* by up to 2 degrees"):
        writer.write(replace(initial, grid=turned), path=tmp_path / "other")
    deeper = replace(dino_output.grid, depth=dino_output.grid.depth + 5)
    with pytest.raises(UserError, match="give a file of the same levels"):
        writer.write(replace(initial, grid=deeper), path=tmp_path / "other")
