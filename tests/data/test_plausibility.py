"""What no ocean is gets refused; what any ocean is does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.plausibility import Door, check_grid, check_state
from data.readers.settings import MitgcmReader
from data.state import State


def _check(state, grid):
    check_state(state, door=Door(grid, "a file", "correct it"), numbers=range(len(state)))


def _uniform(grid, temperature, salinity, sea_level=0.0):
    ones = torch.ones((1, *grid.shape))
    return State(temperature * ones, salinity * ones, sea_level * ones[:, 0])


@pytest.mark.parametrize(
    ("temperature", "salinity", "sea_level"),
    [
        (-3.0, 34.0, -2.0),  # under an ice shelf
        (-1.9, 2.0, 0.0),  # ice melts in an estuary
        (20.0, 6.0, 0.5),  # the Baltic
        (33.0, 41.0, 0.0),  # the Red Sea
        (45.0, 50.0, 8.0),  # a lagoon at spring tide
    ],
)
def test_real_oceans_pass(small_grid, temperature, salinity, sea_level):
    _check(_uniform(small_grid, temperature, salinity, sea_level), small_grid)


def test_fresh_cells_and_overshoots_pass(small_grid, random_state):
    state = random_state(small_grid, seed=0)
    state.salinity[0, 0, 2, 2] = 0.0
    state.salinity[0, 0, 2, 3] = -0.05
    state.temperature[0, 0, 4, 4] = -4.0
    _check(state, small_grid)


def test_the_sentence_says_how_many_the_extreme_and_where(small_grid, random_state):
    state = random_state(small_grid, seed=0, batch=2)
    state.temperature[1, 1, 2, 3], state.temperature[1, 2, 4, 1] = 60.0, -80.0
    sentence = (
        r"state 1 of a file has thetao outside -5 to 50 degC, what sea water can be, in 2 of 98 "
        r"wet cells, -80 at cell \(z, y, x\) = \(2, 4, 1\), x = 2, y = 2 degrees, 200 m: "
        r"correct it\."
    )
    with pytest.raises(UserError, match=sentence):
        _check(state, small_grid)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: replace(s, temperature=s.temperature + 273.15), "in kelvin .*subtract 273.15"),
        (lambda s: replace(s, temperature=s.temperature - 273.15), "273.15 was subtracted from"),
        (
            lambda s: replace(s, salinity=s.salinity / 1000),
            "median of 0.03.*multiply kg/kg by 1000",
        ),
        (lambda s: replace(s, salinity=s.salinity * 3), "so outside -0.5 to 60 1e-3 or g/kg"),
        (lambda s: replace(s, sea_level=s.sea_level * 300), "zos outside .*divide centimetres"),
        (lambda s: replace(s, salinity=s.salinity * torch.nan), "NaN in 98 wet cells of so"),
        (lambda s: s.map(lambda f: f * (torch.arange(5) != 2)), "0 for both .* in 18 of 98"),
    ],
)
def test_states_that_no_ocean_has(small_grid, random_state, change, sentence):
    with pytest.raises(UserError, match=sentence):
        _check(change(random_state(small_grid, seed=0)), small_grid)


def test_a_missing_value_in_some_wet_cells_is_called_so(small_grid, random_state):
    state = random_state(small_grid, seed=0)
    state.salinity[0, :2, 1, 1] = 1e20
    with pytest.raises(UserError, match=r"1e\+20 .*in 2 cells, as a missing value .*_FillValue"):
        _check(state, small_grid)


def test_land_may_hold_anything(small_grid, random_state):
    dry = torch.from_numpy(~small_grid.wet)
    state = random_state(small_grid, seed=0, sea_level=False)
    for land in (1e20, -9999.0, torch.nan):
        _check(state.map(lambda f, land=land: torch.where(dry, land, f)), small_grid)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g: {"depth": g.depth * 100}, "depth of a file is 1000 to 100000 m, which no ocean"),
        (lambda g: {"depth": g.depth / 2000}, r"is 0.005 to 0.5 m, which no ocean"),
        (lambda g: {"depth": g.depth * np.nan}, "depth of a file has NaN"),
        (lambda g: {"thickness": g.thickness * 100}, "does not fit its depths"),
        (lambda g: {"thickness": g.thickness / 100}, "does not fit its depths"),
        (lambda g: {"thickness": g.thickness[:, :2]}, "thickness of a file has shape"),
        (lambda g: {"area": g.area * 1e10}, "more than the Earth's surface"),
        (lambda g: {"area": g.area * np.nan}, "cell_area of a file is not above 0 in 98 wet cells"),
        (lambda g: {"longitude": g.longitude * np.nan}, "no position in 25 wet columns"),
        (lambda g: {"latitude": g.latitude * 100}, "beyond the poles"),
        (lambda g: {"longitude": np.linspace(0, 360, 5)}, "last column of a file repeats the"),
        (lambda g: {"wet": g.wet & False}, "no wet cell"),
    ],
)
def test_grids_that_no_ocean_has(small_grid, tmp_path, random_state, change, sentence):
    grid = replace(small_grid, **change(small_grid))
    with pytest.raises(UserError, match=sentence):
        check_grid(grid, source="a file")
    writer = ArchiveWriter(tmp_path / "a.zarr", grid=grid, equation_of_state="jmd95")
    with pytest.raises(UserError), writer:
        writer.append(
            random_state(small_grid, seed=0, sea_level=False), member=0, time=0.0, split=0
        )
    assert list(tmp_path.iterdir()) == []


def test_the_real_ocean_passes(shared_data):
    folder = shared_data / "mitgcm_global4deg"
    output = MitgcmReader(periodic_x=True).open(folder / "mitgcm_global4deg_k0500.nc")
    for start in (0, 200, 440):
        output.read(slice(start, start + 16))


@pytest.mark.parametrize(
    "append",
    [
        lambda s: {"state": replace(s, temperature=s.temperature + 273.15)},
        lambda s: {"state": replace(s, salinity=s.salinity / 1000)},
        lambda s: {"state": s, "split": 7},
    ],
)
def test_the_writer_refuses_what_would_not_open(small_grid, random_state, tmp_path, append):
    state = random_state(small_grid, seed=0, sea_level=False)
    writer = ArchiveWriter(tmp_path / "a.zarr", grid=small_grid, equation_of_state="jmd95")
    with pytest.raises(UserError), writer:
        writer.append(**({"member": 0, "time": 0.0, "split": 0} | append(state)))
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_was_changed_is_refused_when_read(write_archive):
    path = write_archive()
    zarr.open_group(path, mode="r+", use_consolidated=False)["so"][7, 0, 2, 2] = 1e5
    archive = StateArchive.open(path)  # reads the first state only
    with pytest.raises(UserError, match=r"state 7 of .* has so outside .*100000 at cell"):
        archive.verify()
    with pytest.raises(UserError, match=r"state 7 of .* has so outside"):
        archive.read([3, 7])


@pytest.mark.parametrize(
    ("name", "units"),
    [("so", "kg/kg"), ("zos", "cm"), ("thickness", "cm"), ("cell_area", "km2"), ("depth", "dbar")],
)
def test_an_archive_in_other_units_does_not_open(write_archive, name, units):
    path = write_archive()
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    group[name].attrs["units"] = units
    zarr.consolidate_metadata(group.store)
    with pytest.raises(UserError, match=rf'{name} of .* is in "{units}": expected'):
        StateArchive.open(path)
