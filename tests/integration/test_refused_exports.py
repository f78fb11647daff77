"""What `halocline export` refuses: one sentence that says what to do, and no file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from data.archive.writer import ArchiveWriter
from data.grid import OceanGrid
from data.state import State
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from halocline import main

EQUATION = "nemo-seos"
DIMS, FLAT = ("time_counter", "nav_lev", "y", "x"), ("time_counter", "y", "x")


@pytest.fixture
def grid(tiny_grid) -> OceanGrid:
    return tiny_grid()


@pytest.fixture
def stable(grid, tiny_states) -> State:
    state = tiny_states(grid, batch=1, seed=0, sea_level=True)
    return adjust(state, eos=equation_of_state(EQUATION), grid=grid)


@pytest.fixture
def write_state(tmp_path) -> Callable[[State, OceanGrid], Path]:
    def write(state: State, grid: OceanGrid) -> Path:
        path = tmp_path / "states.zarr"
        with ArchiveWriter(
            path, grid=grid, equation_of_state=EQUATION, sea_level=state.sea_level is not None
        ) as writer:
            writer.append(state, member=0, time=0.0, split=0)
        return path

    return write


def nemo_restart(grid: OceanGrid, state: State) -> xr.Dataset:
    longitude, latitude = np.meshgrid(grid.longitude, grid.latitude)
    fields = {"tn": state.temperature, "sn": state.salinity, "un": 0 * state.salinity}
    fields |= {"vn": fields["un"], "tb": fields["tn"], "sb": fields["sn"]}
    return xr.Dataset(
        {
            **{name: (DIMS, values.double().numpy()) for name, values in fields.items()},
            "sshn": (FLAT, state.sea_level.double().numpy()),
            "nav_lon": (("y", "x"), longitude),
            "nav_lat": (("y", "x"), latitude),
            "nav_lev": ("nav_lev", grid.depth),
            "kt": ((), 720.0),
        }
    )


def veros_restart(grid: OceanGrid, state: State, path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    levels, rows, columns = grid.shape
    with h5py.File(path, "w") as file:
        for name, field in (("temp", state.temperature), ("salt", state.salinity)):
            whole = np.zeros((columns + 4, rows + 4, levels, 3))
            whole[2:-2, 2:-2] = field[0].numpy()[::-1].transpose(2, 1, 0)[..., None]
            file[f"core/{name}"] = whole


@pytest.fixture
def refused(tiny_config, tmp_path, capsys) -> Callable[..., str]:
    """The sentence with which an export ends; nothing of its output is there."""

    def run(archive: Path, *options: str) -> str:
        folder = tmp_path / "out"
        words = ["export", str(tiny_config), "--states", str(archive)]
        with pytest.raises(SystemExit) as caught:
            main([*words, "--output", str(folder / "start.nc"), *options])
        message = caught.value.code
        assert isinstance(message, str) and message.startswith("halocline: ")
        assert len(message.splitlines()) == 1
        assert not folder.exists() or list(folder.iterdir()) == []
        return message

    return run


@pytest.mark.parametrize("kind", ["nemo-restart", "veros-restart", "nemo"])
def test_a_template_of_another_size(grid, stable, write_state, refused, tmp_path, kind):
    archive = write_state(stable, grid)
    rows = slice(2, 10)
    part, smaller = grid.part(rows), stable.map(lambda field: field[..., rows, :])
    path = tmp_path / "template"
    if kind == "veros-restart":
        veros_restart(part, smaller, path)
        message = _with_template(refused, archive, kind, path)
        assert "expected (12, 16, 5, 3)" in message
    elif kind == "nemo-restart":
        nemo_restart(part, smaller).to_netcdf(path)
        message = _with_template(refused, archive, kind, path)
        assert "has (5, 8, 8) cells (z, y, x), the state has (5, 12, 8)" in message
    else:
        mesh = nemo_restart(part, smaller).rename(tn="tmask")
        mesh.to_netcdf(path)
        message = refused(archive, "--format", kind, "--mesh-mask", str(path))
        assert "has (5, 8, 8) cells (z, y, x), the state has (5, 12, 8)" in message


def _with_template(refused, archive, kind, path):
    return refused(archive, "--format", kind, "--template", str(path))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: r.drop_vars("sn"), "has no sn: expected a NEMO restart"),
        (lambda r: r.drop_vars("sshn"), "has no sshn: expected a NEMO restart with"),
        (lambda r: r.assign(nav_lon=r.nav_lon + 9), "nav_lon of .* differs from the state's by"),
        (lambda r: r.assign(nav_lev=r.nav_lev * 2), "give a file of the same levels"),
        (
            lambda r: r.assign(sn=r.sn.where(r.nav_lat > -30, 0)),
            r"has another domain: 0 of its wet cells .* and \d+ of the state's are land there",
        ),
        (lambda r: r.assign_attrs(DOMAIN_number_total=4), "one of 4 pieces .* rebuild_nemo"),
    ],
    ids=["no sn", "no sshn", "longitudes", "levels", "wet mask", "piece"],
)
def test_a_nemo_template_that_does_not_fit(
    grid, stable, write_state, refused, tmp_path, change, expected
):
    path = tmp_path / "template.nc"
    change(nemo_restart(grid, stable)).to_netcdf(path)
    message = _with_template(refused, write_state(stable, grid), "nemo-restart", path)
    assert re.search(expected, message), message


def test_velocities_need_their_fields(grid, stable, write_state, refused, tmp_path):
    archive, path = write_state(stable, grid), tmp_path / "template"
    nemo_restart(grid, stable).drop_vars("un").to_netcdf(path)
    moving = ("--velocities", "balanced")
    message = refused(archive, "--format", "nemo-restart", "--template", str(path), *moving)
    assert "has no un" in message
    path.unlink()
    veros_restart(grid, stable, path)
    message = refused(archive, "--format", "veros-restart", "--template", str(path), *moving)
    assert "core/u" in message and "give an HDF5 restart of Veros" in message
    message = refused(archive, "--format", "cf", *moving)
    assert "the format cf does not take --velocities" in message
    message = refused(archive, "--format", "mitgcm", *moving, "--reference", "deep")
    assert "unknown reference deep; use floor, sea_level or a positive depth" in message
    message = refused(archive, "--format", "mitgcm", "--reference", "floor")
    assert "use --velocities balanced" in message


@pytest.mark.parametrize("adjusted", [(), ("--adjust",)], ids=["as it is", "adjusted"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("so", lambda v: _at_depth(v, 0.0), "so is 0 or less, a land"),
        ("thetao", lambda v: v + 273.15, "expected degC"),
        ("so", lambda v: v / 1000, "multiply kg/kg by 1000"),
        ("zos", lambda v: v * 1000, "divide centimetres by 100"),
    ],
    ids=["land value", "kelvin", "kg/kg", "centimetres"],
)
@pytest.mark.parametrize("kind", ["cf", "nemo", "mitgcm"])
def test_a_state_of_land_values_or_other_units(
    grid, stable, write_state, refused, name, change, message, kind, adjusted
):
    """Adjusting does not hide them. The writer refuses such states: another tool wrote them."""
    archive = write_state(stable, grid)
    stored = zarr.open_group(archive, mode="r+", use_consolidated=False)[name]
    stored[...] = change(torch.from_numpy(stored[...])).numpy()
    assert message in refused(archive, "--format", kind, *adjusted)


def _at_depth(field: torch.Tensor, value: float) -> torch.Tensor:
    field = field.clone()
    field[0, 2, 8, 6] = value
    return field


@pytest.mark.parametrize("kind", ["cf", "nemo", "mitgcm"])
def test_an_unstable_column_is_offered_the_adjustment(grid, stable, write_state, refused, kind):
    heavy = replace(stable, salinity=_at_depth(stable.salinity, 40.0))
    archive = write_state(heavy, grid)
    message = refused(archive, "--format", kind)
    assert (
        "statically unstable under nemo-seos in 1 pairs of cells" in message
        and "--adjust" in message
    )
    message = refused(archive, "--format", kind, "--equation-of-state", "nemo-teos10")
    assert "nemo-teos10 takes sea_water_conservative_temperature" in message
