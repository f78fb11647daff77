"""A patched restart of Veros, read by Veros' own reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.basin.forcing import BasinParameters
from data.errors import UserError
from data.grid import OceanGrid
from data.restarts.initial_condition import InitialCondition, Velocities
from data.restarts.veros import VerosRestart
from data.state import State
from guidance.balance import balanced_velocities
from guidance.seawater import equation_of_state

pytest.importorskip("veros", reason="Veros' restarts need the extra: pip install halocline[basin]")
h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def run():
    from data.basin.run import BasinRun

    run = BasinRun(BasinParameters(resolution=5.0, tracer_step_days=2.0), seed=1)
    run.advance_to(1 / 12)
    return run


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
    return InitialCondition(state, grid, "veros-vallis")


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
    variables = run._setup.state.variables
    mask, now = np.asarray(variables.maskT), int(variables.tau)
    for name, warmer in (("temp", 0.5), ("salt", 0.1)):
        expected = (before[name][..., now] + warmer) * mask
        np.testing.assert_array_equal(after[name], np.stack([expected] * 3, axis=-1))
    assert 'settings.restart_input_filename = "start.h5"' in written.namelist
    assert "settings.eq_of_state_type = 3" in written.namelist.splitlines()
    foreign = replace(initial, equation_of_state="jmd95")
    namelist = VerosRestart(template).write(foreign, path=tmp_path / "foreign.h5").namelist
    assert "made for jmd95" in namelist and "eq_of_state_type" not in namelist


def _flow(run, random) -> Velocities:
    """Noise [m/s] on the open faces."""
    variables = run._setup.state.variables
    masks = (np.asarray(variables.maskU), np.asarray(variables.maskV))
    faces = (mask[2:-2, 2:-2].transpose(2, 1, 0)[::-1] for mask in masks)
    return Velocities(*(0.1 * random.normal(size=face.shape) * face for face in faces))


def test_a_flow_is_as_the_rigid_lid_has_it(run, template, initial, tmp_path):
    """The shear is new, the depth mean the template's, and w Veros' own."""
    from veros.core.momentum import vertical_velocity

    flow = _flow(run, np.random.default_rng(0))
    write = VerosRestart(template, velocities="balanced").write
    with pytest.raises(UserError, match="has no velocities"):
        write(initial, path=tmp_path / "start.h5")
    write(replace(initial, velocities=flow), path=tmp_path / "start.h5")
    before, after = _read(run, template), _read(run, tmp_path / "start.h5")
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    cleared = {"du", "dv", "dpsi", "dpsin"} & {name for name in before if before[name].any()}
    assert changed == {"temp", "salt", "u", "v", "w"} | cleared
    assert not any(after[name].any() for name in ("du", "dv", "dpsi"))

    state, variables = run._setup.state, run._setup.state.variables
    now, then, thickness = int(variables.tau), int(variables.taup1), np.asarray(variables.dzt)
    for name, new in zip("uv", flow, strict=True):
        old, written = before[name][..., now], after[name][..., now]
        mask = np.asarray(getattr(variables, f"mask{name.upper()}"))
        transports = ((field * thickness).sum(-1) for field in (written, old))
        np.testing.assert_allclose(*transports, atol=1e-9)
        inner = new.transpose(2, 1, 0)[..., ::-1]
        shear = np.diff(written, axis=-1)[2:-2, 2:-2] - np.diff(inner, axis=-1)
        both = (mask[..., 1:] * mask[..., :-1])[2:-2, 2:-2] > 0
        np.testing.assert_allclose(shear[both], 0, atol=1e-12)
    kept = {name: np.array(getattr(variables, name)) for name in "uvw"}
    with variables.unlock():
        variables.u, variables.v = after["u"], after["v"]
        vertical_velocity(state)
        found = np.array(variables.w)[2:-2, 2:-2, :, then]
        for name, values in kept.items():
            setattr(variables, name, values)
    wet = np.asarray(variables.maskT)[2:-2, 2:-2] > 0
    assert np.abs(found[wet]).max() > 1e-6
    np.testing.assert_allclose(after["w"][2:-2, 2:-2, :, now][wet], found[wet], atol=1e-12)
    np.testing.assert_allclose(found[..., -1], 0, atol=1e-12)


def test_at_rest_nothing_moves(run, template, initial, tmp_path):
    VerosRestart(template, velocities="rest").write(initial, path=tmp_path / "start.h5")
    after = _read(run, tmp_path / "start.h5")
    assert not any(after[name].any() for name in ("u", "v", "w", "psi", "du", "dv"))
    assert after["temp"].any() and after["tke"].any()


def test_veros_goes_on_from_a_balanced_flow(run, template, initial, tmp_path):
    """A month, on the state's own temperature and salinity, with and without a flow."""
    eos, grid = equation_of_state("veros-vallis"), initial.grid
    own = replace(initial, state=State(*(torch.from_numpy(f)[None] for f in run.state())))
    flow = Velocities(*(f[0].numpy() for f in balanced_velocities(own.state, eos=eos, grid=grid)))
    variables = run._setup.state.variables
    whole = {name: np.array(getattr(variables, name)) for name in run._restart_names()}
    energy = {}
    for kind in ("rest", "balanced"):
        path = tmp_path / f"{kind}.h5"
        VerosRestart(template, velocities=kind).write(replace(own, velocities=flow), path=path)
        _load(run, _read(run, path))
        start = run.kinetic_energy()
        run.advance_to(run.year + 1 / 12)
        energy[kind] = (start, run.kinetic_energy())
        _load(run, whole)
    assert energy["rest"][0] == 0 < energy["balanced"][0]
    assert energy["balanced"][1] < 10 * energy["rest"][1]


def _load(run, values) -> None:
    variables = run._setup.state.variables
    with variables.unlock():
        for name, value in values.items():
            setattr(variables, name, value)


def test_areas_that_are_not_veros_have_no_vertical_velocity(run, template, initial, tmp_path):
    growing = np.linspace(1, 2, initial.grid.shape[1])[:, None]
    odd = replace(initial.grid, area=initial.grid.area * growing)
    flow = _flow(run, np.random.default_rng(0))
    with pytest.raises(UserError, match="cell areas of the state are not those of a Veros grid"):
        VerosRestart(template, velocities="balanced").write(
            replace(initial, grid=odd, velocities=flow), path=tmp_path / "start.h5"
        )
    assert not (tmp_path / "start.h5").exists()


def test_velocities_of_another_size_are_refused(run, template, initial, tmp_path):
    with h5py.File(template, "r+") as file:
        del file["core/w"]
        file["core/w"] = np.zeros((3, 3, 3, 3))
    flow = _flow(run, np.random.default_rng(0))
    with pytest.raises(UserError, match=r"core/w of .* has shape \(3, 3, 3, 3\), core/salt"):
        VerosRestart(template, velocities="balanced").write(
            replace(initial, velocities=flow), path=tmp_path / "start.h5"
        )


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
    with pytest.raises(UserError, match=r"core/salt of .* expected \(14, 10, 15"):
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


def test_a_template_of_integers(template, initial, tmp_path):
    with h5py.File(template, "r+") as file:
        salt = file["core/salt"][...]
        del file["core/salt"]
        file["core/salt"] = np.round(salt).astype("i2")
    with pytest.raises(UserError, match=r"core/salt of .* holds int16: expected floating-point"):
        VerosRestart(template).write(initial, path=tmp_path / "start.h5")
