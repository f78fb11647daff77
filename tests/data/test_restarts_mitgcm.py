"""MITgcm's initial files, read as the model reads them: raw reals without a header."""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from data.readers.settings import MitgcmReader
from data.restarts import initial_condition
from data.restarts.initial_condition import InitialCondition, Velocities
from data.restarts.mitgcm import MitgcmFiles
from guidance.seawater import Linear


@pytest.fixture
def initial(small_grid, random_state):
    return InitialCondition(random_state(small_grid, seed=0), small_grid, "jmd95")


@pytest.mark.parametrize(
    ("precision", "kind", "bits"), [("single", ">f4", 32), ("double", ">f8", 64)]
)
def test_layout(initial, tmp_path, precision, kind, bits):
    written = MitgcmFiles(precision=precision).write(initial, path=tmp_path / "start.bin")
    names = ["start_theta.bin", "start_salt.bin", "start_eta.bin"]
    assert [file.name for file in written.files] == names
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    state, wet = initial.state, initial.grid.wet
    expected = (state.temperature[0], state.salinity[0], state.sea_level[0])
    for file, field in zip(written.files, expected, strict=True):
        assert file.stat().st_size == prod(field.shape) * bits // 8
        # Row by row as Fortran reads: level, then row, then column, the surface first.
        values = np.memmap(file, dtype=kind, mode="r", shape=tuple(field.shape))
        mask = wet if field.ndim == 3 else wet[0]
        np.testing.assert_array_equal(values, np.where(mask, field.numpy(), 0))
    assert f" readBinaryPrec={bits}," in written.namelist.splitlines()
    assert " hydrogThetaFile='start_theta.bin'," in written.namelist.splitlines()
    assert " hydrogSaltFile='start_salt.bin'," in written.namelist.splitlines()
    assert " pSurfInitFile='start_eta.bin'," in written.namelist.splitlines()
    assert " nIter0=0," in written.namelist.splitlines()


@pytest.mark.parametrize(
    ("equation", "line"),
    [
        ("jmd95", " eosType='JMD95Z',"),
        ("linear", " eosType='LINEAR',"),
        ("nemo-seos", "# made for the equation of state nemo-seos: MITgcm has no such eosType"),
    ],
)
def test_the_equation_of_state_is_named(initial, tmp_path, equation, line):
    made_for = replace(initial, equation_of_state=equation)
    lines = MitgcmFiles().write(made_for, path=tmp_path / "start").namelist.splitlines()
    assert lines.index(" &PARM01") < lines.index(line) < lines.index(" &PARM03")
    assert ("eosType=" in "".join(lines)) == (equation != "nemo-seos")


def test_the_linear_equation_is_named_with_its_slopes(initial, tmp_path):
    linear = replace(initial, equation_of_state="linear")
    namelist = MitgcmFiles().write(linear, path=tmp_path / "start").namelist
    slopes = re.search("tAlpha=(.*), sBeta=(.*)", namelist).groups()
    expected = Linear().thermal_expansion, Linear().haline_contraction
    assert tuple(map(float, slopes)) == expected


def test_a_flow_is_on_western_and_southern_faces(initial, tmp_path):
    grid, random = initial.grid, np.random.default_rng(0)
    u, v = (random.normal(size=grid.shape) for _ in "uv")
    u *= grid.wet & np.roll(grid.wet, -1, 2)  # periodic in x
    v *= grid.wet & np.roll(grid.wet, -1, 1)
    v[:, -1] = 0
    moving = replace(initial, velocities=Velocities(u, v))
    writer = MitgcmFiles(precision="double", velocities="balanced")
    written = writer.write(moving, path=tmp_path / "start")
    assert [file.name[6:] for file in written.files] == [
        *("theta.bin", "salt.bin", "eta.bin", "uvel.bin", "vvel.bin")
    ]
    west, south = (np.fromfile(file, ">f8").reshape(grid.shape) for file in written.files[3:])
    np.testing.assert_array_equal(west[..., 1:], u[..., :-1])
    np.testing.assert_array_equal(west[..., 0], u[..., -1])
    np.testing.assert_array_equal(south[:, 1:], v[:, :-1])
    assert not south[:, 0].any()
    # A face is open where the cells on both of its sides are: in MITgcm's order, this and the last.
    assert not west[~(grid.wet & np.roll(grid.wet, 1, 2))].any()
    assert not south[~(grid.wet & np.roll(grid.wet, 1, 1))].any()
    lines = written.namelist.splitlines()
    assert " uVelInitFile='start_uvel.bin'," in lines and " vVelInitFile='start_vvel.bin'," in lines
    assert set(written.files) == set(writer.files(tmp_path / "start"))


def test_velocities_that_mitgcm_cannot_start_from(initial, tmp_path):
    with pytest.raises(UserError, match="mitgcm has no template: --velocities rest or balanced"):
        MitgcmFiles(velocities="template")
    with pytest.raises(UserError, match="the initial condition has no velocities"):
        MitgcmFiles(velocities="balanced").write(initial, path=tmp_path / "start")
    assert list(tmp_path.iterdir()) == []


def test_without_sea_level_the_model_starts_flat(initial, tmp_path):
    flat = replace(initial, state=replace(initial.state, sea_level=None))
    written = MitgcmFiles().write(flat, path=tmp_path / "run" / "start")
    assert [file.name for file in written.files] == ["start_theta.bin", "start_salt.bin"]
    assert "pSurfInitFile" not in written.namelist


def test_water_of_exactly_0_degrees_is_no_hole(initial, tmp_path):
    write = MitgcmFiles().write
    assert "checkIniTemp" not in write(initial, path=tmp_path / "a").namelist
    initial.state.temperature[0, 1, 2, 3] = 0
    assert "checkIniTemp=.FALSE." in write(initial, path=tmp_path / "b").namelist


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: replace(s, temperature=s.temperature + 273.15), "expected degC"),
        (lambda s: replace(s, salinity=s.salinity / 1000), "expected 1e-3 or g/kg"),
        (
            lambda s: replace(s, sea_level=s.sea_level * 300),
            r"zos outside -20 to 20 m.* expected m",
        ),
        (lambda s: replace(s, salinity=s.salinity * (s.salinity < 35)), "a land value, in .* wet"),
        (lambda s: replace(s, temperature=s.temperature / 0), "thetao has NaN in .* wet cells"),
        (lambda s: s.map(lambda field: field[..., :3]), r"expected one state, .* \(1, 4, 6, 5\)"),
    ],
)
def test_an_unfit_state_is_refused(initial, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        MitgcmFiles().write(replace(initial, state=change(initial.state)), path=tmp_path / "start")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_reads_back_differently_leaves_neither(initial, tmp_path, monkeypatch):
    from_file = np.fromfile

    def faulty(path, dtype):
        return (from_file(path, dtype) + ("salt" in path.name)).astype(dtype)

    monkeypatch.setattr(np, "fromfile", faulty)
    with pytest.raises(UserError, match=r"reads back differently from .*start_salt\.bin"):
        MitgcmFiles().write(initial, path=tmp_path / "start")
    assert list(tmp_path.iterdir()) == []


def test_nan_and_signed_zero_are_compared_by_their_bytes():
    zeros = np.array([0.0, np.nan])
    assert initial_condition.same_bytes(zeros, zeros.copy())
    assert not initial_condition.same_bytes(zeros, np.array([-0.0, np.nan]))
    assert not initial_condition.same_bytes(zeros, zeros.astype(">f8"))


def test_a_state_with_gradient_is_written(initial, tmp_path):
    state = initial.state.map(lambda field: field.clone().requires_grad_())
    written = MitgcmFiles().write(replace(initial, state=state), path=tmp_path / "start")
    plain = MitgcmFiles().write(initial, path=tmp_path / "plain")
    for file, expected in zip(written.files, plain.files, strict=True):
        assert file.read_bytes() == expected.read_bytes()


def test_a_real_state_of_the_4_degree_world(shared_data, tmp_path):
    source = shared_data / "mitgcm_global4deg" / "mitgcm_global4deg_k1000.nc"
    output = MitgcmReader(periodic_x=True).open(source)
    initial = InitialCondition(output.read(slice(-1, None)), output.grid, "jmd95")
    written = MitgcmFiles().write(initial, path=tmp_path / "ic.bin")
    with xr.open_dataset(source, decode_times=False) as data:
        last = data.isel(time=-1)
        for file, name in zip(written.files, ("thetao", "so", "zos"), strict=True):
            values = np.fromfile(file, ">f4").reshape((15, 40, 90)[-last[name].ndim :])
            np.testing.assert_array_equal(values, last[name].fillna(0).to_numpy())


def test_the_model_clock_starts_in_the_season_of_the_state(initial, tmp_path):
    lines = MitgcmFiles().write(replace(initial, season=0.25), path=tmp_path / "a").namelist
    assert " baseTime=7776000.," in lines.splitlines()  # 90 days
    assert "baseTime" not in MitgcmFiles().write(initial, path=tmp_path / "b").namelist
