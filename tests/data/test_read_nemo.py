"""NEMO's raw output: whole and in pieces, its mesh mask, its restarts, and back again."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import yaml

from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.readers.settings import NemoReader
from halocline import main

LEVELS, ROWS, COLUMNS, TIMES = 4, 6, 5, 3
EDGES = {"y": (0, 3, ROWS), "x": (0, 2, COLUMNS)}  # of four processors
VOLUME = ("time_counter", "deptht", "y", "x")


@pytest.fixture
def grid() -> OceanGrid:
    """Land in all of the first processor's part."""
    wet = np.ones((LEVELS, ROWS, COLUMNS), bool)
    wet[:, :3, :2] = False
    wet[2:, 4, 3] = False
    layers = np.array([20.0, 60.0, 240.0, 1360.0])[:, None, None]
    longitude, latitude = np.meshgrid(2.0 * np.arange(COLUMNS), 2.0 * np.arange(ROWS) - 60)
    return OceanGrid(
        depth=np.array([10.0, 50.0, 200.0, 1000.0]),
        thickness=layers * wet,
        area=np.where(wet[0], 4e10, 0.0),
        wet=wet,
        longitude=longitude,
        latitude=latitude,
    )


@pytest.fixture
def run(grid, tmp_path) -> Path:
    """A folder with grid_T as XIOS writes it, mesh mask and restart, all whole; stable states."""
    random = np.random.default_rng(0)
    profile = np.array([20.0, 15.0, 8.0, 2.0])[:, None, None]
    t = profile + 0.1 * random.normal(size=(TIMES, *grid.shape))
    s = 35 + 0.01 * random.normal(size=(TIMES, *grid.shape))
    ssh = 0.1 * random.normal(size=(TIMES, *grid.shape[1:]))
    _write_output(tmp_path / "R_1y_grid_T.nc", grid, t, s, ssh)
    _write_mesh(tmp_path / "mesh_mask.nc", grid)
    _write_restart(tmp_path / "R_00000720_restart.nc", grid, t[-1], s[-1], ssh[-1])
    return tmp_path


def _positions(grid):
    return {"nav_lon": (("y", "x"), grid.longitude), "nav_lat": (("y", "x"), grid.latitude)}


def _write_output(path, grid, t, s, ssh):
    seconds = 86400.0 * 360 * np.arange(1, TIMES + 1)
    clock = {"units": "seconds since 0001-01-01 00:00:00", "calendar": "360_day"}
    dataset = xr.Dataset(
        {
            "toce": (VOLUME, np.where(grid.wet, t, np.nan), {"units": "degC"}),
            "soce": (VOLUME, np.where(grid.wet, s, np.nan), {"units": "1e-3"}),
            "ssh": ((VOLUME[0], "y", "x"), np.where(grid.wet[0], ssh, np.nan), {"units": "m"}),
            "deptht": ("deptht", grid.depth, {"units": "m", "positive": "down"}),
            "time_counter": ("time_counter", seconds, clock),
            **_positions(grid),
        }
    )
    fill = {name: {"_FillValue": 1e20, "dtype": "f4"} for name in ("toce", "soce", "ssh")}
    _save(dataset, path, fill)


def _write_mesh(path, grid):
    dims, flat = ("time_counter", "nav_lev", "y", "x"), ("time_counter", "y", "x")
    width = np.full((1, ROWS, COLUMNS), 2e5)
    layers = np.broadcast_to(grid.thickness.max((1, 2), keepdims=True), (1, *grid.shape))
    dataset = xr.Dataset(
        {
            "tmask": (dims, grid.wet[None].astype("i1")),
            "e1t": (flat, width),
            "e2t": (flat, width),
            "e3t_0": (dims, layers),
            "gdept_1d": (dims[:2], grid.depth[None]),
            **_positions(grid),
        }
    )
    _save(dataset, path)


def _write_restart(path, grid, t, s, ssh):
    dims, flat = ("time_counter", "nav_lev", "y", "x"), ("time_counter", "y", "x")
    fields = {"tn": t, "sn": s, "tb": t, "sb": s}
    level = (flat, (ssh * grid.wet[0])[None])
    dataset = xr.Dataset(
        {
            **{name: (dims, (values * grid.wet)[None]) for name, values in fields.items()},
            "sshn": level,
            "sshb": level,
            "nav_lev": ("nav_lev", grid.depth),
            "time_counter": ("time_counter", [720.0]),
            "kt": ((), 720.0),
            "adatrj": ((), 1080.0),
            **_positions(grid),
        }
    )
    _save(dataset, path)


def _save(dataset, path, encoding=None):
    blank = {str(name): {"_FillValue": None} for name in dataset.variables}
    dataset.to_netcdf(path, unlimited_dims=["time_counter"], encoding=blank | (encoding or {}))


def _cut(path: Path, *, halo: int = 0, skip_land: bool = True) -> list[Path]:
    """The whole file `path` becomes pieces `path_0000.nc` ... as NEMO writes them.

    halo: as of NEMO 4.0 and before, which writes it; skip_land: no processor for the first part
    """
    boxes = [
        {"y": EDGES["y"][j : j + 2], "x": EDGES["x"][i : i + 2]} for j in (0, 1) for i in (0, 1)
    ]
    boxes = boxes[1:] if skip_land else boxes
    with xr.open_dataset(path, decode_times=False, mask_and_scale=False) as source:
        whole = source.load()
    pieces = []
    for number, box in enumerate(boxes):
        place = {}
        for dim, size in (("x", COLUMNS), ("y", ROWS)):
            first, last = max(box[dim][0] - halo, 0), min(box[dim][1] + halo, size)
            place[dim] = (first, last, box[dim][0] - first, last - box[dim][1])
        part = {dim: slice(a, b) for dim, (a, b, *_) in place.items()}
        piece = whole.isel(part).copy(deep=True)
        x, y = place["x"], place["y"]
        piece.attrs = {
            "DOMAIN_number_total": len(boxes),
            "DOMAIN_number": number,
            "DOMAIN_dimensions_ids": [1, 2],
            "DOMAIN_size_global": [COLUMNS, ROWS],
            "DOMAIN_size_local": [x[1] - x[0], y[1] - y[0]],
            "DOMAIN_position_first": [x[0] + 1, y[0] + 1],
            "DOMAIN_position_last": [x[1], y[1]],
            "DOMAIN_halo_size_start": [x[2], y[2]],
            "DOMAIN_halo_size_end": [x[3], y[3]],
            "DOMAIN_type": "BOX",
        }
        if halo:  # must not be read: another processor's numbers may be newer
            _spoil_halo(piece, x, y)
        pieces.append(path.with_name(f"{path.stem}_{number:04d}.nc"))
        _save(piece, pieces[-1])
    path.unlink()
    return pieces


def _spoil_halo(piece, x, y):
    inner = np.zeros((piece.sizes["y"], piece.sizes["x"]), bool)
    inner[y[2] : inner.shape[0] - y[3], x[2] : inner.shape[1] - x[3]] = True
    for variable in piece.variables.values():
        if variable.dims[-2:] == ("y", "x"):
            variable.values[..., ~inner] = 77


def _settings(*files, **changes):
    defaults = {
        "reader": "nemo",
        "equation_of_state": "nemo-seos",
        "split": {"gap_years": 0.0, "train": 0.4, "validation": 0.3},
    }
    return IngestSettings(files=[str(file) for file in files], **(defaults | changes))


def _read(run, pattern="R_1y_grid_T*.nc", mesh="mesh_mask*.nc"):
    return NemoReader(mesh_mask=run / mesh).open(*sorted(run.glob(pattern)))


def _fields(state):
    return state.temperature, state.salinity, state.sea_level


def _assert_same(one, other):
    assert one.grid.digest == other.grid.digest
    for name in ("depth", "thickness", "area"):
        wet = one.grid.wet[0] if name == "area" else one.grid.wet
        mine, theirs = getattr(one.grid, name), getattr(other.grid, name)
        wet = wet if name != "depth" else ...
        np.testing.assert_array_equal(mine[wet], theirs[wet])
    for name in ("longitude", "latitude"):
        np.testing.assert_array_equal(getattr(one.grid, name), getattr(other.grid, name))
    np.testing.assert_array_equal(one.years, other.years)
    every = slice(None)
    for mine, theirs in zip(_fields(one.read(every)), _fields(other.read(every)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_output_of_the_whole_domain(run, grid):
    output = _read(run)
    np.testing.assert_allclose(output.years, [1, 2, 3])
    np.testing.assert_array_equal(output.grid.wet, grid.wet)
    np.testing.assert_allclose(output.grid.area, 4e10)
    assert output.sea_level is not None and output.temperature.name == "toce"


@pytest.mark.parametrize("halo", [0, 1], ids=["without halos", "with halos"])
@pytest.mark.parametrize("skip_land", [False, True], ids=["all", "land processors missing"])
def test_pieces_are_the_whole(run, halo, skip_land):
    whole = _read(run)
    for name in ("R_1y_grid_T.nc", "mesh_mask.nc"):
        _cut(run / name, halo=halo, skip_land=skip_land)
    pieces = _read(run)
    assert pieces.path == run / "R_1y_grid_T.nc"
    _assert_same(pieces, whole)
    one = pieces.read(slice(1, 2))
    np.testing.assert_array_equal(one.temperature, whole.read(slice(1, 2)).temperature)
    pieces.dataset.close()


def test_a_whole_mesh_mask_serves_pieces_and_the_other_way(run):
    whole = _read(run)
    _cut(run / "R_1y_grid_T.nc")
    _assert_same(_read(run, mesh="mesh_mask.nc"), whole)
    _cut(run / "mesh_mask.nc")
    with pytest.raises(UserError, match=r"mesh_mask.nc matches no file"):
        _read(run, mesh="mesh_mask.nc")
    with pytest.raises(UserError, match=r"matches no file: expected one mesh mask or all pieces"):
        _read(run, mesh="mask_*.nc")


def test_without_a_mesh_mask_land_is_what_xios_filled(run, grid):
    _cut(run / "R_1y_grid_T.nc", halo=1)
    output = NemoReader().open(*sorted(run.glob("R_1y_grid_T_*.nc")))
    np.testing.assert_array_equal(output.grid.wet, grid.wet)


def test_a_run_in_pieces_is_one_member_of_the_archive(run):
    whole = _read(run)
    for name in ("R_1y_grid_T.nc", "mesh_mask.nc"):
        _cut(run / name, halo=1)
    settings = _settings(run / "R_1y_grid_T_*.nc", mesh_mask=run / "mesh_mask_*.nc")
    ingest(settings, output=run / "states.zarr")
    archive = StateArchive.open(run / "states.zarr")
    assert len(archive) == TIMES and not archive.member.any()
    assert archive.attributes["source_files"] == ["R_1y_grid_T.nc"]
    np.testing.assert_array_equal(archive.read([2]).sea_level, whole.read(slice(2, 3)).sea_level)


def test_restarts_in_pieces_are_read_on_their_own_clock(run):
    _cut(run / "R_00000720_restart.nc")
    output = _read(run, "R_*_restart_*.nc")
    np.testing.assert_allclose(output.years, 1080 / 365.25)
    expected = _read(run).read(slice(2, 3))
    for mine, theirs in zip(_fields(output.read(slice(None))), _fields(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    years = (
        NemoReader(calendar="360_day", mesh_mask=run / "mesh_mask.nc")
        .open(*sorted(run.glob("R_*_restart_*.nc")))
        .years
    )
    np.testing.assert_allclose(years, 3)
    with pytest.raises(UserError, match="is a restart, which has no land mask"):
        NemoReader().open(*sorted(run.glob("R_*_restart_*.nc")))


def test_pieces_that_do_not_make_a_whole(run):
    files = _cut(run / "R_1y_grid_T.nc")
    with pytest.raises(UserError, match=r"in 3 pieces, of which 1 are missing \(number 1\)"):
        NemoReader().open(files[0], files[2])
    with netCDF4.Dataset(files[1], "r+") as file:
        file.DOMAIN_number_total = 4
    with pytest.raises(UserError, match=r"0001.nc is one of 4 pieces of .* the pieces of one run"):
        NemoReader().open(*files)
    with netCDF4.Dataset(files[1], "r+") as file:
        file.DOMAIN_number_total = 3
        file.DOMAIN_position_last = np.array([2, 5])
    with pytest.raises(UserError, match=r"by its DOMAIN attributes 2 and 2, so its halo is unkn"):
        NemoReader().open(*files)
    with netCDF4.Dataset(files[1], "r+") as file:
        file.delncattr("DOMAIN_halo_size_start")
    with pytest.raises(UserError, match=r"without DOMAIN_halo_size_start .* rebuild_nemo"):
        NemoReader().open(*files)


def test_a_piece_of_fewer_times(run):
    files = _cut(run / "R_1y_grid_T.nc")
    with xr.open_dataset(files[2], decode_times=False) as piece:
        short = piece.isel(time_counter=slice(2)).load()
    _save(short, files[2])
    with pytest.raises(UserError, match=r"0002.nc has 2 time_counter, .* not written to its end"):
        NemoReader().open(*files)


def test_from_output_in_pieces_to_a_restart_and_a_pair(run, grid, tiny_config):
    """Model, archive, model, on the command line; every number comes back as NEMO wrote it."""
    with xr.open_dataset(run / "R_1y_grid_T.nc", decode_times=False) as source:
        last = source.isel(time_counter=-1).load()
    for name in ("R_1y_grid_T.nc", "mesh_mask.nc"):
        _cut(run / name, halo=1)
    _to_archive(run, tiny_config)
    words = ["export", str(tiny_config), "--states", str(run / "states.zarr"), "--member", "2"]
    template = str(run / "R_00000720_restart.nc")
    main(
        [*words, "--format", "nemo-restart", "--template", template, "--output", f"{run}/start.nc"]
    )
    with netCDF4.Dataset(run / "start.nc") as file:
        for name, field in {"tn": "toce", "sb": "soce", "sshn": "ssh"}.items():
            expected = last[field].fillna(0).values
            np.testing.assert_array_equal(file[name][0].astype("f4"), expected)
    main([*words, "--format", "nemo", "--output", f"{run}/start.nc"])
    for end, name, field in (("T", "votemper", "toce"), ("S", "vosaline", "soce")):
        with netCDF4.Dataset(run / f"start_{end}.nc") as file:
            np.testing.assert_array_equal(file[name][0], last[field].fillna(0).values)


def _to_archive(run: Path, config: Path) -> None:
    content = yaml.safe_load(config.read_text())
    content["data"] = {
        "archive": str(run / "states.zarr"),
        "ingest": {
            "reader": "nemo",
            "files": [str(run / "R_1y_grid_T*.nc")],
            "mesh_mask": str(run / "mesh_mask*.nc"),
            "equation_of_state": "nemo-seos",
            "split": {"gap_years": 0.0, "train": 0.4, "validation": 0.3},
        },
    }
    config.write_text(yaml.safe_dump(content))
    main(["ingest", str(config)])


def test_the_real_restart_is_the_last_state_of_its_run(shared_data):
    folder = shared_data / "nemo_dino4deg"
    conventions = {"periodic_x": True, "calendar": "360_day"}
    mesh = folder / "mesh_mask.nc"
    restart = NemoReader(**conventions, mesh_mask=mesh).open(folder / "DINO_00057600_restart.nc")
    output = NemoReader(**conventions, mesh_mask=mesh).open(folder / "nemo_dino_4deg.nc")
    assert restart.grid.digest == output.grid.digest
    np.testing.assert_allclose(restart.years, 10)
    one, other = restart.read(slice(None)), output.read(slice(-1, None))
    np.testing.assert_allclose(one.temperature, other.temperature, atol=1 / 1024)
    np.testing.assert_allclose(one.salinity, other.salinity, atol=1 / 8192)
    assert float(one.sea_level.abs().max()) < 3


def _mesh_without(run, *names, **others):
    """The mesh mask without some variables and with others, as another version writes it."""
    with xr.open_dataset(run / "mesh_mask.nc", decode_times=False) as source:
        mesh = source.load().drop_vars(names).assign(others)
    _save(mesh, run / "other_mesh.nc")
    return run / "other_mesh.nc"


VERTICAL = ("time_counter", "nav_lev")
FLAT = ("time_counter", "y", "x")
LAYERS = np.array([20.0, 60.0, 240.0, 1360.0])
DEPTH = np.array([10.0, 50.0, 200.0, 1000.0])


def _versions(grid):
    """Changes of the mesh mask by version: variables left out, and others."""
    levels = (FLAT, grid.wet.sum(0)[None].astype("i4"))
    between = np.array([20.0, 40.0, 150.0, 800.0])
    profile, depth = (VERTICAL, LAYERS[None]), (VERTICAL, DEPTH[None])
    narrow = ("t", "z", "y_a", "x_a")
    return {
        "3.4, z coordinates": (("e3t_0", "gdept_1d"), {"e3t_0": profile, "gdept_0": depth}),
        "3.4, four dimensions": (
            ("e3t_0", "gdept_1d"),
            {"e3t_0": (narrow, LAYERS[None, :, None, None]), "gdept_0": depth},
        ),
        "profile alone": (("e3t_0",), {"e3t_1d": profile}),
        "mbathy": (("tmask",), {"mbathy": levels}),
        "domain_cfg": (
            ("tmask", "e3t_0", "gdept_1d"),
            {
                "e3t_1d": (("nav_lev",), LAYERS),
                "e3w_1d": (("nav_lev",), between),
                "bottom_level": levels,
                "top_level": (FLAT, grid.wet[:1].astype("i4")),
            },
        ),
    }


@pytest.mark.parametrize(
    "version",
    ["3.4, z coordinates", "3.4, four dimensions", "profile alone", "mbathy", "domain_cfg"],
)
def test_mesh_masks_of_other_versions(run, grid, version):
    names, others = _versions(grid)[version]
    _mesh_without(run, *names, **others)
    _assert_same(_read(run, mesh="other_mesh.nc"), _read(run))


def test_partial_cells_given_at_the_bottom_alone(run, grid):
    lowest = np.full((1, ROWS, COLUMNS), 7.0)
    others = {"e3t_1d": (VERTICAL, LAYERS[None]), "e3t_ps": (FLAT, lowest)}
    _mesh_without(run, "e3t_0", **others)
    thickness = _read(run, mesh="other_mesh.nc").grid.thickness
    np.testing.assert_array_equal(thickness[:, 4, 3], [20, 7, 0, 0])
    np.testing.assert_array_equal(thickness[:, 4, 4], [20, 60, 240, 7])
    _mesh_without(run, "e3t_0", e3t_1d=others["e3t_1d"], ln_zps=((), 1))
    with pytest.raises(UserError, match=r"partial cells \(ln_zps\) but not .* nn_msh = 1"):
        _read(run, mesh="other_mesh.nc")


def test_incomplete_and_sloping_meshes(run):
    for name, missing in (("e3t_0", "e3t_0"), ("e1t", "e1t"), ("tmask", "tmask")):
        _mesh_without(run, name)
        with pytest.raises(UserError, match=rf"has no {missing}.*: expected a NEMO .* ln_meshmask"):
            _read(run, mesh="other_mesh.nc")
    _mesh_without(run, ln_sco=((), 1))
    with pytest.raises(UserError, match=r"levels that follow the terrain \(ln_sco\)"):
        _read(run, mesh="other_mesh.nc")


def test_mask_and_mesh_in_three_files(run, grid):
    with xr.open_dataset(run / "mesh_mask.nc", decode_times=False) as source:
        mesh = source.load().drop_encoding()
    parts = {"mask": ["tmask"], "mesh_hgr": ["e1t", "e2t"], "mesh_zgr": ["e3t_0", "gdept_1d"]}
    for name, variables in parts.items():
        mesh[variables].to_netcdf(run / f"{name}.nc")
    with xr.open_dataset(run / "R_1y_grid_T.nc", decode_times=False) as source:
        source.load().drop_encoding().drop_vars(["nav_lon", "nav_lat"]).to_netcdf(run / "bare.nc")
    positions = mesh[["nav_lon", "nav_lat"]].rename(nav_lon="glamt", nav_lat="gphit")
    positions.to_netcdf(run / "mesh_xy.nc")
    files = [run / "mask.nc", run / "mesh_*r.nc", run / "mesh_xy.nc"]
    _assert_same(NemoReader(mesh_mask=files).open(run / "bare.nc"), _read(run))


def test_other_grids_in_the_file_do_not_matter(run, grid):
    """A field on the levels of W, ahead of temperature."""
    with xr.open_dataset(run / "R_1y_grid_T.nc", decode_times=False) as source:
        output = source.load()
    between = ("time_counter", "depthw", "y", "x")
    first = xr.Dataset({"avt": (between, np.ones((TIMES, *grid.shape)))})
    _save(first.merge(output), run / "W_1y_grid_T.nc")
    _assert_same(_read(run, "W_1y_grid_T.nc"), _read(run))


def test_pieces_that_another_tool_has_joined(run):
    whole = _read(run)
    left = {
        "DOMAIN_number_total": 4,
        "DOMAIN_number": 0,
        "DOMAIN_size_global": [COLUMNS, ROWS],
        "DOMAIN_position_first": [1, 1],
        "DOMAIN_position_last": [2, 3],
        "DOMAIN_halo_size_start": [0, 0],
        "DOMAIN_halo_size_end": [0, 0],
    }
    with xr.open_dataset(run / "R_1y_grid_T.nc", decode_times=False) as source:
        _save(source.load().assign_attrs(left), run / "joined_0000.nc")
    _assert_same(_read(run, "joined_0000.nc"), whole)


def test_sea_level_in_a_file_of_its_own(run):
    whole = _read(run)
    with xr.open_dataset(run / "R_1y_grid_T.nc", decode_times=False) as source:
        output = source.load()
    _save(output.drop_vars("ssh"), run / "S_1y_grid_T.nc")
    _save(output[["ssh", "nav_lon", "nav_lat"]], run / "S_1y_grid_T_2D.nc")
    for name in ("S_1y_grid_T.nc", "S_1y_grid_T_2D.nc"):
        _cut(run / name)
    settings = _settings(run / "S_1y_grid_T*.nc", mesh_mask=run / "mesh_mask.nc")
    ingest(settings, output=run / "states.zarr")
    archive = StateArchive.open(run / "states.zarr")
    np.testing.assert_array_equal(archive.read([2]).sea_level, whole.read(slice(2, 3)).sea_level)
    np.testing.assert_array_equal(
        archive.read([1]).temperature, whole.read(slice(1, 2)).temperature
    )
