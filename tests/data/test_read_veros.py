"""Veros' snapshots and restarts, written by Veros' own writers, and back again."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
import yaml

from data.archive.reader import StateArchive
from data.basin.forcing import BasinParameters
from data.errors import UserError
from data.readers.settings import VerosReader
from data.state import State
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from halocline import main

pytest.importorskip("veros", reason="Veros' files need the extra: pip install halocline[basin]")
h5py = pytest.importorskip("h5py")
CONVENTIONS = {"periodic_x": True}


@pytest.fixture(scope="module")
def run():
    """The basin at 5 degrees, a month after its start, what overturned mixed."""
    from data.basin.run import BasinRun

    run = BasinRun(BasinParameters(resolution=5.0, tracer_step_days=2.0), seed=1)
    run.advance_to(1 / 12)
    state = State(*(torch.from_numpy(field)[None].float() for field in run.state()))
    stable = adjust(state, eos=equation_of_state("veros-vallis"), grid=run.grid())
    run.set_state(*(field[0].double().numpy() for field in (stable.temperature, stable.salinity)))
    return run


def write_snapshots(run, path: Path, *, days=(30.0,)) -> Path:
    """The state now, as often as there are days, as Veros' snapshot diagnostic writes it."""
    from veros.diagnostics.snapshot import Snapshot
    from veros.io_tools import netcdf

    state = run._setup.state
    names = Snapshot(state).output_variables
    with netcdf.threaded_io(str(path), "w") as file:
        netcdf.initialize_file(state, file)
        for name in names:
            if name not in file.variables:
                netcdf.initialize_variable(state, name, state.var_meta[name], file)
        for day in days:
            netcdf.advance_time(day, file)
            for name in names:
                values = getattr(state.variables, name)
                netcdf.write_variable(state, name, state.var_meta[name], values, file)
    return path


def write_restart(run, path: Path) -> Path:
    """The state now, as Veros writes its restarts."""
    from veros.restart import write_to_h5

    state = run._setup.state
    names = run._restart_names()
    values = {name: np.asarray(getattr(state.variables, name)) for name in names}
    with h5py.File(path, "w") as file:
        write_to_h5(state.dimensions, state.var_meta, values, file, "core")
    return path


def _assert_state_of(run, output):
    temperature, salinity = run.state()
    state, wet = output.read(slice(0, 1)), run.wet_mask()

    np.testing.assert_array_equal(state.temperature[0], (temperature * wet).astype("f4"))
    np.testing.assert_array_equal(state.salinity[0], (salinity * wet).astype("f4"))


def test_snapshots(run, tmp_path):
    output = VerosReader(**CONVENTIONS).open(
        write_snapshots(run, tmp_path / "b.snapshot.nc", days=(30.0, 390.0))
    )
    _assert_state_of(run, output)
    expected = run.grid()
    assert output.grid.digest == expected.digest
    for name in ("thickness", "longitude", "latitude", "depth"):
        np.testing.assert_allclose(getattr(output.grid, name), getattr(expected, name))
    column = expected.wet[0]
    np.testing.assert_allclose(output.grid.area[column], expected.area[column])
    np.testing.assert_allclose(output.years, [1 / 12, 13 / 12])


def test_a_restart_takes_its_grid_from_a_snapshot(run, tmp_path):
    grid_files = write_snapshots(run, tmp_path / "b.snapshot.nc")
    restart = write_restart(run, tmp_path / "b.restart.h5")
    output = VerosReader(**CONVENTIONS, grid_files=grid_files).open(restart)
    _assert_state_of(run, output)
    assert output.grid.digest == run.grid().digest
    np.testing.assert_allclose(output.years, run.year)
    with pytest.raises(UserError, match="is a restart, which has no grid: give a snapshot file"):
        VerosReader(**CONVENTIONS).open(restart)


def test_files_that_do_not_fit(run, tmp_path):
    snapshot = write_snapshots(run, tmp_path / "b.snapshot.nc")
    restart = write_restart(run, tmp_path / "b.restart.h5")
    with xr.open_dataset(snapshot, decode_times=False) as source:
        source.isel(yt=slice(3, 20)).to_netcdf(tmp_path / "short.nc")
        source.drop_vars(["temp", "dzt"]).to_netcdf(tmp_path / "poor.nc")
        source.isel(Time=slice(0)).to_netcdf(tmp_path / "empty.nc")
        wetter = source.assign(temp=source.temp.fillna(4.0))
        wetter.to_netcdf(tmp_path / "wetter.nc")
    with pytest.raises(UserError, match=r"has no temp, dzt: expected a snapshot file of Veros"):
        VerosReader(**CONVENTIONS).open(tmp_path / "poor.nc")
    with pytest.raises(UserError, match="has no time step"):
        VerosReader(**CONVENTIONS).open(tmp_path / "empty.nc")
    with pytest.raises(UserError, match=r"has \(15, 28, 10\) cells .* \(15, 17, 10\): give a sn"):
        VerosReader(grid_files=tmp_path / "short.nc", **CONVENTIONS).open(restart)
    with pytest.raises(UserError, match=r"has another set-up than .*wetter.nc: \d+ cells"):
        VerosReader(grid_files=tmp_path / "wetter.nc", **CONVENTIONS).open(restart)
    with h5py.File(restart, "r+") as file:
        del file["core/salt"]
    with pytest.raises(UserError, match=r"restart.h5 has no core/salt: expected a restart of Ve"):
        VerosReader(grid_files=snapshot, **CONVENTIONS).open(restart)
    restart.write_text("no HDF5")
    with pytest.raises(UserError, match=r"restart.h5 cannot be read"):
        VerosReader(grid_files=snapshot, **CONVENTIONS).open(restart)


def test_land_is_known_by_its_fill_value_though_not_declared(run, tmp_path):
    path = write_snapshots(run, tmp_path / "b.snapshot.nc")
    with xr.open_dataset(path, decode_times=False, mask_and_scale=False) as source:
        bare = source.load()
    for variable in bare.variables.values():
        variable.attrs.pop("_FillValue", None)
    bare.to_netcdf(path, encoding={str(name): {"_FillValue": None} for name in bare.variables})
    with netCDF4.Dataset(path) as file:
        assert not hasattr(file["temp"], "_FillValue") and file["temp"][:].min() < -1e17
    _assert_state_of(run, VerosReader(**CONVENTIONS).open(path))


def test_from_snapshots_to_a_restart(run, tmp_path, tiny_config):
    """Model, archive, model, on the command line: the state comes back at all time levels."""
    snapshot = write_snapshots(run, tmp_path / "b.snapshot.nc", days=(30, 390, 750))
    with h5py.File(snapshot, "r+") as file:  # identical states cannot be in several parts
        for time, warmer in ((0, 0.01), (2, -0.01)):
            file["temp"][time] = file["temp"][time] + warmer
    template = write_restart(run, tmp_path / "b.restart.h5")
    archive = tmp_path / "states.zarr"
    content = yaml.safe_load(tiny_config.read_text())
    content["data"] = {
        "archive": str(archive),
        "ingest": {
            "reader": "veros",
            "files": [str(snapshot)],
            "equation_of_state": "veros-vallis",
            "salinity_units": "g/kg",
            "periodic_x": True,
            "split": {"gap_years": 0.0, "train": 0.4, "validation": 0.3},
        },
    }
    tiny_config.write_text(yaml.safe_dump(content))
    main(["ingest", str(tiny_config)])
    assert StateArchive.open(archive).salinity_units == "g/kg"
    words = ["export", str(tiny_config), "--states", str(archive), "--member", "1"]
    words += ["--format", "veros-restart", "--template", str(template)]
    main([*words, "--output", str(tmp_path / "start.h5")])
    with h5py.File(tmp_path / "start.h5") as new, h5py.File(template) as old:
        now = int(old["core/tau"][()])
        for name in ("core/temp", "core/salt"):
            expected = np.repeat(old[name][..., now : now + 1], 3, axis=-1)
            np.testing.assert_array_equal(new[name][...], expected)
