"""The CF initial-condition file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from data.archive.format import field_attributes
from data.errors import UserError
from data.readers.settings import CfReader
from data.restarts import cf
from data.restarts.cf import CfFile
from data.restarts.initial_condition import InitialCondition

TEOS10 = {"equation_of_state": "nemo-teos10"}


def write(state, grid, *, path, precision="double", **described):
    initial = InitialCondition(state=state, grid=grid, **(TEOS10 | described))
    return CfFile(precision).write(initial, path=path)


@pytest.mark.parametrize(("precision", "dtype"), [("single", "float32"), ("double", "float64")])
def test_file_is_cf_and_holds_the_state(precision, dtype, tmp_path, small_grid, random_state):
    state = random_state(small_grid, seed=0)
    path = tmp_path / "start.nc"
    write(state, small_grid, path=path, precision=precision, attributes={"seed": 3})
    with xr.open_dataset(path) as written:
        assert written.thetao.dims == ("depth", "lat", "lon")
        assert {"depth", "lat", "lon"} == {*written.coords} == {*written.indexes}
        assert written.thetao.dtype == dtype
        assert written.thetao.attrs["standard_name"] == "sea_water_conservative_temperature"
        assert written.thetao.attrs["long_name"] == "conservative temperature"
        assert written.so.attrs["units"] == "g kg-1"
        assert written.so.attrs["long_name"] == "absolute salinity"
        assert written.attrs["seed"] == 3
        assert written.depth.attrs["positive"] == "down"
        bounds = written.depth_bnds.values
        np.testing.assert_array_equal(bounds[1:, 0], bounds[:-1, 1])
        assert (bounds[:, 0] < small_grid.depth).all()
        assert (bounds[:, 1] > small_grid.depth).all()
        np.testing.assert_array_equal(np.isnan(written.thetao), ~small_grid.wet)
    assert [file.name for file in tmp_path.iterdir()] == ["start.nc"]


@pytest.mark.parametrize(
    ("equation", "kind"),
    [("nemo-teos10", "conservative"), ("veros-gsw", "conservative"), ("nemo-eos80", "potential")],
)
def test_the_equation_of_state_says_which_temperature_it_is(equation, kind):
    attributes = field_attributes(equation)
    assert attributes["thetao"]["standard_name"] == f"sea_water_{kind}_temperature"
    absolute = "absolute" in attributes["so"]["standard_name"]
    assert absolute == (kind == "conservative")
    assert attributes["so"]["units"] == ("g kg-1" if absolute else "1")


def curvilinear(grid):
    longitude, latitude = grid.positions
    return replace(grid, longitude=longitude + 0.1 * latitude, latitude=latitude)


@pytest.mark.parametrize("bent", [False, True])
def test_reader_takes_it_back(bent, tmp_path, small_grid, random_state):
    state, grid = random_state(small_grid, seed=0), curvilinear(small_grid) if bent else small_grid
    write(state, grid, path=tmp_path / "start.nc")
    output = CfReader(periodic_x=True).open(tmp_path / "start.nc")
    assert output.grid.digest == grid.digest
    assert output.grid.differing_coordinate(grid) is None
    again = output.read(slice(0, 1))
    assert torch.equal(again.to_channels(), state.to_channels())


def test_wrong_states(tmp_path, small_grid, random_state):
    state = random_state(small_grid, seed=0)
    path = tmp_path / "start.nc"
    with pytest.raises(UserError, match=r"shape \(2, 4, 6, 5\) cannot be exported"):
        write(random_state(small_grid, seed=0, batch=2), small_grid, path=path)
    broken = replace(state, salinity=state.salinity.clone())
    broken.salinity[0, 1, 1, :2] = torch.nan
    with pytest.raises(UserError, match=r"so has NaN in 2 wet cells"):
        write(broken, small_grid, path=path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"could not be written"):
        write(state, small_grid, path=tmp_path / "file" / "start.nc")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_full_disk_leaves_nothing(tmp_path, small_grid, random_state, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(cf, "_check_written", full)
    with pytest.raises(UserError, match=r"could not be written .No space left"):
        write(random_state(small_grid, seed=0), small_grid, path=tmp_path / "a.nc")
    assert list(tmp_path.iterdir()) == []
