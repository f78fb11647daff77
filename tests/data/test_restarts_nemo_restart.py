"""A patched restart of NEMO: what is new, and that nothing else is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from data.errors import UserError
from data.restarts import nemo_restart
from data.restarts.initial_condition import InitialCondition, Velocities
from data.restarts.nemo_restart import NemoRestart

BEFORE = ("tb", "sb", "sshb", "ub", "vb")
STATE = {"tn", "sn", "tb", "sb"}
SEA_LEVEL = {"sshn", "sshb"}
VELOCITIES = {"un", "vn", "ub", "vb"}


def _write_restart(path: Path, grid, *, leave_out=(), kind="f8", model="NETCDF4_CLASSIC") -> Path:
    """A leap-frog restart with land 0, NaN in a field that nobody reads, and odd attributes."""
    random = np.random.default_rng(0)
    volume = ("time_counter", "nav_lev", "y", "x")
    with netCDF4.Dataset(path, "w", format=model) as file:
        for name, size in zip(volume, (None, *grid.shape), strict=True):
            file.createDimension(name, size)
        file.setncatts({"DOMAIN_number_total": np.int32(1), "DOMAIN_type": "BOX"})
        places = {"nav_lev": grid.depth, "nav_lon": grid.longitude, "nav_lat": grid.latitude}
        for name, values in places.items():
            dims = ("nav_lev",) if name == "nav_lev" else ("y", "x")
            variable = file.createVariable(name, "f4", dims)
            variable[:] = values[:, None] if name == "nav_lat" else values
        for name, value in {"kt": 57600.0, "rdt": 5400.0}.items():
            file.createVariable(name, "f8", ())[...] = value
        for name in ("tn", "sn", "un", "vn", "tb", "sb", "ub", "vb", "en", "sshn", "sshb", "qns_b"):
            if name in leave_out:
                continue
            flat = name in ("sshn", "sshb", "qns_b")
            wet = grid.wet[0] if flat else grid.wet
            values = random.uniform(1, 2, wet.shape) * wet
            if name == "en":
                values[0, 1, 1] = np.nan
            variable = file.createVariable(name, kind, volume[:1] + volume[2:] if flat else volume)
            variable.setncattr("valid_min", np.float32(-9.0))
            variable[:] = values[None]
    return path


def _add(path: Path, name: str, values: np.ndarray) -> None:
    with netCDF4.Dataset(path, "r+") as file:
        dims = ("time_counter", *(("nav_lev", "y", "x")[-values.ndim :]))
        file.createVariable(name, "f8", dims)[:] = values[None]


def _raw(path: Path) -> dict[str, tuple[str, bytes]]:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return {
            name: (str(variable.dtype), np.asarray(variable[...]).tobytes())
            for name, variable in file.variables.items()
        }


def _changed(one: Path, other: Path) -> set[str]:
    before, after = _raw(one), _raw(other)
    assert list(before) == list(after)
    return {name for name in before if before[name] != after[name]}


@pytest.fixture
def template(tmp_path, small_grid) -> Path:
    return _write_restart(tmp_path / "template.nc", small_grid)


@pytest.fixture
def initial(small_grid, random_state):
    return InitialCondition(random_state(small_grid, seed=0), small_grid, "nemo-seos")


def _without_sea_level(initial: InitialCondition) -> InitialCondition:
    return replace(initial, state=replace(initial.state, sea_level=None))


def test_state_and_sea_level_are_new_and_nothing_else(template, initial, tmp_path):
    written = NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert written.files == (tmp_path / "start.nc",)
    assert _changed(template, tmp_path / "start.nc") == STATE | SEA_LEVEL
    with netCDF4.Dataset(tmp_path / "start.nc") as file:
        file.set_auto_maskandscale(False)
        for names, field in (
            (("tn", "tb"), initial.state.temperature),
            (("sn", "sb"), initial.state.salinity),
            (("sshn", "sshb"), initial.state.sea_level),
        ):
            for name in names:
                np.testing.assert_array_equal(file[name][...], field.double().numpy())
                assert file[name].valid_min == -9
        assert file.DOMAIN_type == "BOX"


def test_without_sea_level_the_template_keeps_its_own(template, initial, tmp_path):
    NemoRestart(template).write(_without_sea_level(initial), path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE


def test_velocities_that_are_given_are_written(template, initial, tmp_path):
    wet, random = initial.grid.wet, np.random.default_rng(1)
    u, v = (random.normal(size=wet.shape) * wet for _ in "uv")
    writer = NemoRestart(template, velocities="balanced")
    writer.write(replace(initial, velocities=Velocities(u, v)), path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE | SEA_LEVEL | VELOCITIES
    with netCDF4.Dataset(tmp_path / "start.nc") as file:
        np.testing.assert_array_equal(file["un"][0], u)
        np.testing.assert_array_equal(file["vb"][0], v)
    broken = replace(initial, velocities=Velocities(u[1:], v))
    with pytest.raises(UserError, match=r"velocity u has shape \(3, 6, 5\)"):
        writer.write(broken, path=tmp_path / "other.nc")
    with pytest.raises(UserError, match="the initial condition has no velocities"):
        writer.write(initial, path=tmp_path / "other.nc")


@pytest.mark.parametrize("model", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_a_restart_without_before_fields_in_single_precision(small_grid, initial, tmp_path, model):
    template = _write_restart(
        tmp_path / "template.nc", small_grid, leave_out=BEFORE, kind="f4", model=model
    )
    NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == {"tn", "sn", "sshn"}


def test_barotropic_velocities_of_runge_kutta_follow_only_to_rest(template, initial, tmp_path):
    grid = initial.grid
    for name in ("uu_n", "vv_n"):
        _add(template, name, np.ones(grid.shape[1:]))
    rest = NemoRestart(template, velocities="rest")
    rest.write(initial, path=tmp_path / "rest.nc")
    assert _changed(template, tmp_path / "rest.nc") >= {"uu_n", "vv_n", "un", "vn"}
    moving = replace(initial, velocities=Velocities(0.1 * grid.wet, 0.0 * grid.wet))
    with pytest.raises(UserError, match="start at rest, or from a leap-frog restart"):
        NemoRestart(template, velocities="balanced").write(moving, path=tmp_path / "moving.nc")


def test_the_sea_level_after_a_step_of_runge_kutta_is_new_too(template, initial, tmp_path):
    _add(template, "ssha", np.ones(initial.grid.shape[1:]))
    NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE | SEA_LEVEL | {"ssha"}
    with netCDF4.Dataset(tmp_path / "start.nc") as file:
        column = initial.grid.wet[0]
        np.testing.assert_array_equal(file["ssha"][0][column], file["sshn"][0][column])
    NemoRestart(template).write(_without_sea_level(initial), path=tmp_path / "other.nc")
    assert _changed(template, tmp_path / "other.nc") == STATE


def test_barotropic_steps_of_runge_kutta_allow_no_new_flow(template, initial, tmp_path):
    flat = _without_sea_level(initial)
    for name in ("sshbb_e", "ubb_e"):
        _add(template, name, np.ones(initial.grid.shape[1:]))
    NemoRestart(template).write(initial, path=tmp_path / "leap_frog.nc")  # an Euler step resets
    _add(template, "uu_n", np.ones(initial.grid.shape[1:]))
    path = tmp_path / "start.nc"
    for changing, velocities in ((initial, "template"), (flat, "rest")):
        with pytest.raises(UserError, match=r"holds sshbb_e, ubb_e, .* would not match a new sea"):
            NemoRestart(template, velocities=velocities).write(changing, path=path)
    NemoRestart(template).write(flat, path=path)
    assert _changed(template, path) == STATE


def _add_thicknesses(path: Path, grid) -> np.ndarray:
    """`e3t_n`, and `e3t_b` 1 % thicker, of z*: levels stretched to sea level, 1 m thick on land."""
    with netCDF4.Dataset(path) as file:
        rise = np.asarray(file["sshn"][0]) / np.maximum(grid.thickness.sum(0, where=grid.wet), 1)
    thickness = np.where(grid.wet, grid.thickness * (1 + rise), 1.0)
    _add(path, "e3t_n", thickness)
    _add(path, "e3t_b", 1.01 * thickness)
    return thickness


def test_levels_that_move_follow_a_new_sea_level(template, initial, tmp_path):
    grid = initial.grid
    _add_thicknesses(template, grid)
    NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE | SEA_LEVEL | {"e3t_n", "e3t_b"}
    sea_level = initial.state.sea_level[0].double().numpy()
    rest = grid.thickness.sum(0, where=grid.wet)
    expected = grid.thickness * (1 + sea_level / np.maximum(rest, 1))
    with netCDF4.Dataset(tmp_path / "start.nc") as file:
        for name in ("e3t_n", "e3t_b"):
            np.testing.assert_allclose(file[name][0][grid.wet], expected[grid.wet], rtol=1e-12)
        height = np.asarray(file["e3t_n"][0]).sum(0, where=grid.wet)
        column = grid.wet[0]
        np.testing.assert_allclose(height[column], (rest + sea_level)[column], rtol=1e-12)
        assert (file["e3t_n"][0][~grid.wet] == 1).all()


def test_levels_stay_where_the_sea_level_does(template, initial, tmp_path):
    _add_thicknesses(template, initial.grid)
    _add(template, "tilde_e3t_n", np.zeros(initial.grid.shape))
    NemoRestart(template).write(_without_sea_level(initial), path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE


def test_levels_that_cannot_follow_a_sea_level_are_refused(template, initial, tmp_path):
    thickness = _add_thicknesses(template, initial.grid)
    low = initial.state.sea_level - 15.0
    with netCDF4.Dataset(template, "r+") as file:
        file["e3t_n"][0] = thickness / thickness.max()
    write = NemoRestart(template).write
    with pytest.raises(UserError, match="sea level would lie below the sea floor in"):
        write(replace(initial, state=replace(initial.state, sea_level=low)), path=tmp_path / "a.nc")
    _add(template, "tilde_e3t_n", np.zeros(initial.grid.shape))
    with pytest.raises(UserError, match=r"holds tilde_e3t_n: its levels move independently"):
        write(initial, path=tmp_path / "a.nc")
    assert not (tmp_path / "a.nc").exists()


def test_the_namelist_goes_on_from_the_template_with_an_euler_step(template, initial, tmp_path):
    namelist = NemoRestart(template).write(initial, path=tmp_path / "start.nc").namelist
    namelist = {
        key.strip(): value.split("!")[0].strip()
        for key, _, value in (line.partition("=") for line in namelist.splitlines())
    }
    assert namelist["ln_1st_euler"] == namelist["ln_rstart"] == ".true."
    assert namelist["nn_it000"] == "57601"
    assert namelist["nn_rstctl"] == "2"
    assert namelist["cn_ocerst_in"] == "'start'"


@pytest.mark.parametrize("name", ["start", "start.nc", "year.0100"])
def test_nemo_finds_the_file_by_the_namelists_name(template, initial, tmp_path, name):
    written = NemoRestart(template).write(initial, path=tmp_path / name)
    name_in_namelist = written.namelist.split("cn_ocerst_in = '")[1].split("'")[0]
    assert written.files == (tmp_path / f"{name_in_namelist}.nc",)
    assert written.files == NemoRestart(template).files(tmp_path / name)
    assert written.files[0].exists()


def test_the_template_is_never_replaced_by_a_name_without_its_ending(template, initial):
    before = template.read_bytes()
    with pytest.raises(UserError, match="is the template itself"):
        NemoRestart(template).write(initial, path=template.with_suffix(""))
    assert template.read_bytes() == before


@pytest.mark.parametrize(
    ("leave_out", "message"),
    [(("tn", "tb"), "has no tn: expected a NEMO restart"), (("sshn",), "has no sshn")],
)
def test_a_template_that_lacks_a_field(small_grid, initial, tmp_path, leave_out, message):
    template = _write_restart(tmp_path / "template.nc", small_grid, leave_out=leave_out)
    with pytest.raises(UserError, match=message):
        NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert [file.name for file in tmp_path.iterdir()] == ["template.nc"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: replace(g, wet=g.wet & (np.arange(5) != 2)), r"another domain: 0 of its wet"),
        (lambda g: replace(g, longitude=g.longitude + 1), r"nav_lon of .* by up to 1 degrees"),
        (lambda g: replace(g, latitude=g.latitude - 3), r"nav_lat of .* by up to 3 degrees"),
        (lambda g: replace(g, depth=g.depth * 2), "give a file of the same levels"),
    ],
)
def test_a_template_of_another_domain(initial, small_grid, tmp_path, change, message):
    other = change(small_grid)
    template = _write_restart(tmp_path / "template.nc", other)
    with pytest.raises(UserError, match=message):
        NemoRestart(template).write(initial, path=tmp_path / "start.nc")


def test_longitudes_may_differ_by_a_turn(initial, small_grid, tmp_path):
    turned = replace(small_grid, longitude=small_grid.longitude - 360)
    template = _write_restart(tmp_path / "template.nc", turned)
    NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE | SEA_LEVEL


def test_land_may_hold_a_fill_value_and_keeps_it(template, initial, tmp_path):
    land = ~initial.grid.wet
    with netCDF4.Dataset(template, "r+") as file:
        for name in ("tn", "sn"):
            file[name][0] = np.where(land, 1e20, file[name][0])
    NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    with netCDF4.Dataset(tmp_path / "start.nc") as file:
        file.set_auto_maskandscale(False)
        assert (file["tn"][0][land] == 1e20).all()


@pytest.mark.parametrize(
    ("packing", "message"),
    [
        ({"scale_factor": 0.1}, r"sn of .* is packed \(int16, scale_factor 0\.1\)"),
        ({"scale_factor": 0.001, "add_offset": 20.0}, r"scale_factor 0\.001, add_offset 20"),
        ({}, r"tn of .* holds integers \(int16\)"),
    ],
)
def test_a_template_of_packed_numbers(small_grid, initial, tmp_path, packing, message):
    template = _write_restart(tmp_path / "template.nc", small_grid, leave_out=("tn", "sn"))
    with netCDF4.Dataset(template, "r+") as file:
        for name in ("tn", "sn"):
            variable = file.createVariable(name, "i2", ("time_counter", "nav_lev", "y", "x"))
            variable.setncatts(packing)
            variable.set_auto_maskandscale(False)
            variable[:] = 7 * small_grid.wet[None]
    with pytest.raises(UserError, match=message):
        NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert [file.name for file in tmp_path.iterdir()] == ["template.nc"]


def test_positions_of_a_template_that_are_packed(template, initial, tmp_path):
    with netCDF4.Dataset(template, "r+") as file:
        file["nav_lon"].scale_factor = 0.5
    with pytest.raises(UserError, match=r"nav_lon of .* is packed .float32, scale_factor 0.5."):
        NemoRestart(template).write(initial, path=tmp_path / "start.nc")


def test_an_absent_template_is_said_so(template, initial, tmp_path):
    with pytest.raises(UserError, match=r"absent\.nc cannot be read"):
        NemoRestart(tmp_path / "absent.nc").write(initial, path=template)


def test_a_piece_of_a_domain_must_be_joined_first(template, initial, tmp_path):
    with netCDF4.Dataset(template, "r+") as file:
        file.DOMAIN_number_total = np.int32(4)
    with pytest.raises(UserError, match="one of 4 pieces of a domain"):
        NemoRestart(template).write(initial, path=tmp_path / "start.nc")


def test_the_template_is_never_replaced(template, initial):
    before = template.read_bytes()
    with pytest.raises(UserError, match="is the template itself"):
        NemoRestart(template).write(initial, path=template)
    assert template.read_bytes() == before


def test_a_copy_that_differs_elsewhere_is_not_left(template, initial, tmp_path, monkeypatch):
    def careless(path, patch):
        with netCDF4.Dataset(path, "r+") as file:
            file["en"][0, 0, 0, 0] = 7.0

    monkeypatch.setattr(nemo_restart, "_replace", careless)
    with pytest.raises(UserError, match=r"reads back differently from .*start\.nc"):
        NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert [file.name for file in tmp_path.iterdir()] == ["template.nc"]


def test_a_real_restart_takes_its_own_archive(dino_output, shared_data, tmp_path):
    folder = shared_data / "nemo_dino4deg"
    initial = InitialCondition(dino_output.read(slice(0, 1)), dino_output.grid, "nemo-seos")
    template = folder / "DINO_00057600_restart.nc"
    NemoRestart(template).write(initial, path=tmp_path / "start.nc")
    assert _changed(template, tmp_path / "start.nc") == STATE
    with netCDF4.Dataset(tmp_path / "start.nc") as file:
        expected = initial.state.temperature[0].double().numpy()
        np.testing.assert_array_equal(file["tn"][0], expected)
        assert file["tn"][0][~dino_output.grid.wet].max() == 0
    rest = NemoRestart(template, velocities="rest")
    rest.write(initial, path=tmp_path / "rest.nc")
    assert _changed(template, tmp_path / "rest.nc") == STATE | VELOCITIES
    shutil.copyfile(folder / "mesh_mask.nc", tmp_path / "mesh.nc")
    with pytest.raises(UserError, match="has no tn, sn: expected a NEMO restart"):
        NemoRestart(tmp_path / "mesh.nc").write(initial, path=tmp_path / "other.nc")
