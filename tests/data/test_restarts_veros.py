"""A patched restart of Veros, read by Veros' own reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.basin_forcing import BasinParameters
from data.errors import UserError
from data.grid import OceanGrid
from data.restarts.initial_condition import InitialCondition
from data.restarts.veros import VerosRestart
from data.state import State

pytest.importorskip("veros", reason="Veros' restarts need the extra: pip install halocline[basin]")
h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def run():
    from data.basin_run import BasinRun

    return BasinRun(BasinParameters(resolution=5.0, tracer_step_days=2.0), seed=1)


@pytest.fixture
def template(run, tmp_path) -> Path:
    """The run's restart, its group and names as Veros writes them."""
    path = tmp_path / "template.h5"
    variables = run._setup.state.variables
    with h5py.File(path, "w") as file:
        core = file.require_group("core")
        for name in run._restart_names():
            core[name] = np.asarray(getattr(variables, name))
        file.require_group("snapshot").attrs["sampling_frequency"] = 3.0
    return path


@pytest.fixture
def initial(run) -> InitialCondition:
    """The run's state, warmer by half a degree and saltier by a tenth."""
    geometry, wet = run.geometry(), run.wet_mask()
    thickness = geometry.pop("thickness")[:, None, None] * wet
    grid = OceanGrid(thickness=thickness, wet=wet, periodic_x=True, **geometry)
    temperature, salinity = run.state()
    state = State(
        torch.from_numpy(temperature + 0.5 * wet)[None],
        torch.from_numpy(salinity + 0.1 * wet)[None],
    )
    return InitialCondition(state, grid, "veros-vallis", salinity_units="g/kg")


def _read(run, path: Path) -> dict[str, np.ndarray]:
    from veros.restart import read_from_h5

    state = run._setup.state
    with h5py.File(path) as file:
        return read_from_h5(state.dimensions, state.var_meta, file, "core", True)[1]


def test_veros_reads_the_state_and_the_rest_as_it_was(run, template, initial, tmp_path):
    written = VerosRestart(template).write(initial, path=tmp_path / "start.h5")
    before, after = _read(run, template), _read(run, tmp_path / "start.h5")
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"temp", "salt"}
    mask = np.asarray(run._setup.state.variables.maskT)[..., None]
    np.testing.assert_array_equal(after["temp"], (before["temp"] + 0.5) * mask)
    np.testing.assert_array_equal(after["salt"], (before["salt"] + 0.1) * mask)
    assert 'settings.restart_input_filename = "start.h5"' in written.namelist
    assert "settings.eq_of_state_type = 3" in written.namelist.splitlines()
    foreign = replace(initial, equation_of_state="jmd95")
    told = VerosRestart(template).write(foreign, path=tmp_path / "foreign.h5").namelist
    assert "made for jmd95" in told and "eq_of_state_type" not in told


def test_templates_that_do_not_fit(template, initial, tmp_path):
    write = VerosRestart(template).write
    path = tmp_path / "start.h5"
    sill = initial.grid.wet.copy()
    sill[-3:, 5] = False
    with pytest.raises(UserError, match=r"another domain: \d+ cells are wet in it or in the state"):
        write(replace(initial, grid=replace(initial.grid, wet=sill)), path=path)
    rows = replace(
        initial,
        grid=initial.grid.part(slice(3, 9)),
        state=initial.state.map(lambda field: field[..., 3:9, :]),
    )
    with pytest.raises(UserError, match=r"core/salt of .* the state's grid makes it \(14, 10, 15"):
        write(rows, path=path)
    with pytest.raises(UserError, match="is the template itself"):
        write(initial, path=template)
    with h5py.File(template, "r+") as file:
        del file["core/salt"]
    with pytest.raises(UserError, match="give an HDF5 restart of Veros"):
        write(initial, path=path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(UserError, match="cannot be read"):
        VerosRestart(tmp_path / "text.h5").write(initial, path=path)
    assert not path.exists()
