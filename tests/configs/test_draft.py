"""`halocline init` drafts a configuration that `ingest` and `run` accept as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from configs.loading import load_experiment
from data.archive.reader import StateArchive
from data.paths import matching
from halocline import main

TIMES, LEVELS, ROWS, COLUMNS = 48, 5, 10, 12
DEPTH = np.array([10.0, 60.0, 200.0, 700.0, 2000.0])
LAYERS = np.array([20.0, 80.0, 200.0, 800.0, 1800.0])
LATITUDE, LONGITUDE = np.arange(ROWS) * 10.0 - 45, np.arange(COLUMNS) * 30.0 + 15
WET = np.ones((LEVELS, ROWS, COLUMNS), bool)
WET[:, 0] = WET[:, 4:6, 3] = WET[3:, 7] = False
CLOCK = {"units": "days since 0001-01-01", "calendar": "360_day"}
VOLUME = ("time", "z", "y", "x")
POTENTIAL = {"standard_name": "sea_water_potential_temperature", "units": "degC"}


def ocean(*, seed=0, first_day=0.0, times=TIMES) -> xr.Dataset:
    """A stratified ocean with waves that change within a few of its quarterly states; land NaN."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    waves = np.stack([np.cos(2 * np.pi * (k * x / COLUMNS + y / ROWS)) for k in (1, 2)])
    red = random.normal(size=(times, 2))
    for time in range(1, times):
        red[time] = 0.5 * red[time - 1] + red[time]
    anomaly = np.einsum("tk,kyx->tyx", red, waves)[:, None] * np.exp(-DEPTH / 600)[:, None, None]
    warm = np.array([18.0, 17.0, 12.0, 6.0, 2.0])[:, None, None] + np.cos(2 * np.pi * x / COLUMNS)
    fields = {"t": warm + 0.3 * anomaly, "s": 35 + 0.02 * anomaly, "eta": 0.1 * anomaly[:, 0]}
    land = {4: WET, 3: WET[0]}
    dims = {4: VOLUME, 3: ("time", "y", "x")}
    masked = {
        name: (dims[values.ndim], np.where(land[values.ndim], values, np.nan).astype("f4"))
        for name, values in fields.items()
    }
    return xr.Dataset(masked, coords={"time": ("time", first_day + 90.0 * np.arange(times), CLOCK)})


def positions(dims=("y", "x"), names=("lon", "lat")) -> dict[str, tuple]:
    longitude, latitude = np.meshgrid(LONGITUDE, LATITUDE)
    units = {"units": "degrees_east"}, {"units": "degrees_north"}
    return {
        names[0]: (dims, longitude, units[0]),
        names[1]: (dims, latitude, units[1]),
    }


def nemo(folder: Path) -> None:
    """Three years in three files each with its grid_U, and the mesh mask beside them."""
    depth = ("deptht", DEPTH, {"units": "m", "positive": "down"})
    names = {"t": "toce", "s": "soce", "eta": "ssh", "time": "time_counter", "z": "deptht"}
    for part in range(3):
        whole = ocean(seed=part, first_day=part * 1440.0, times=16).rename(names)
        output = whole.assign(positions(names=("nav_lon", "nav_lat"))).assign_coords(deptht=depth)
        output.toce.attrs = {"units": "degC", "long_name": "Conservative Temperature"}
        output.to_netcdf(folder / f"RUN_{part}_grid_T.nc")
        flow = output[["toce"]].rename(toce="uo", deptht="depthu")
        flow.to_netcdf(folder / f"RUN_{part}_grid_U.nc")
    cells = ("time_counter", "nav_lev", "y", "x")
    width = (("time_counter", "y", "x"), np.full((1, ROWS, COLUMNS), 1e6))
    mesh = {
        "tmask": (cells, WET[None].astype("i1")),
        "e1t": width,
        "e2t": width,
        "e3t_0": (cells, np.broadcast_to(LAYERS[:, None, None], WET.shape)[None]),
        "gdept_1d": (cells[:2], DEPTH[None]),
        **positions(names=("nav_lon", "nav_lat")),
    }
    xr.Dataset(mesh).to_netcdf(folder / "mesh_mask.nc")


def mitgcm(folder: Path) -> None:
    """As xmitgcm names it: negative depths, land 0, partial cells."""
    names = {"t": "THETA", "s": "SALT", "eta": "ETAN", "z": "Z", "y": "YC", "x": "XC"}
    axes = {
        "Z": ("Z", -DEPTH, {"units": "m"}),
        "YC": ("YC", LATITUDE, {"units": "degrees_north"}),
        "XC": ("XC", LONGITUDE, {"units": "degrees_east"}),
    }
    output = ocean().fillna(0).rename(names).assign_coords(axes)
    output = output.assign(drF=("Z", LAYERS), hFacC=(("Z", "YC", "XC"), WET.astype("f4")))
    output.to_netcdf(folder / "state.nc")


def cmip(folder: Path) -> None:
    """A file for each variable, kelvin not stated, bounds of all axes."""
    names = {"t": "thetao", "s": "so", "eta": "zos", "z": "lev", "y": "lat", "x": "lon"}

    def axis(dim, values, units, width, **attributes):
        bounds = np.stack([values - width / 2, values + width / 2], axis=-1)
        told = {"units": units, "bounds": f"{dim}_bnds", **attributes}
        return {dim: (dim, values, told), f"{dim}_bnds": ((dim, "bnds"), bounds)}

    axes = {
        **axis("lat", LATITUDE, "degrees_north", 10.0),
        **axis("lon", LONGITUDE, "degrees_east", 30.0),
        **axis("lev", DEPTH, "m", LAYERS, positive="down", axis="Z"),
    }
    whole = ocean().rename(names).assign(axes)
    whole.thetao.attrs = POTENTIAL
    whole.so.attrs = {"standard_name": "sea_water_salinity", "units": "0.001"}
    for name in ("thetao", "so", "zos"):
        others = {"thetao", "so", "zos"} - {name}
        whole.drop_vars(others).to_netcdf(folder / f"{name}_Omon_MODEL_r1i1p1f1_gn_0001-0012.nc")


def mom6(folder: Path) -> None:
    """Positions, areas and land in a static file."""
    names = {"t": "temp", "s": "salt", "eta": "SSH", "z": "z_l", "y": "yh", "x": "xh"}
    axes = {
        "z_l": ("z_l", DEPTH, {"units": "meters", "positive": "down"}),
        "yh": ("yh", LATITUDE, {"units": "degrees_north", "axis": "Y"}),
        "xh": ("xh", LONGITUDE, {"units": "degrees_east", "axis": "X"}),
    }
    output = ocean().rename(names).assign_coords(axes)
    output.temp.attrs = {"long_name": "Potential Temperature", "units": "degC"}
    output.salt.attrs = {"long_name": "Practical Salinity", "units": "psu"}
    output.to_netcdf(folder / "ocean_month_z.nc")
    static = {
        **positions(("yh", "xh"), ("geolon", "geolat")),
        "wet": (("yh", "xh"), WET[0].astype("f4")),
        "areacello": (("yh", "xh"), np.full((ROWS, COLUMNS), 3e12), {"units": "m2"}),
    }
    xr.Dataset(static).to_netcdf(folder / "ocean_static.nc")


def pop(folder: Path) -> None:
    """Depths in cm, land by KMT, members in files of their own."""
    names = {"t": "TEMP", "s": "SALT", "eta": "SSH", "z": "z_t", "y": "nlat", "x": "nlon"}
    flat = ("nlat", "nlon")
    maps = {
        **positions(flat, ("TLONG", "TLAT")),
        "KMT": (flat, WET.sum(0)),
        "dz": ("z_t", 100 * LAYERS, {"units": "centimeters"}),
    }
    for member in range(6):
        output = ocean(seed=member, times=12).rename(names).assign(maps).fillna(0)
        depth = ("z_t", 100 * DEPTH, {"units": "centimeters", "positive": "down"})
        output.assign_coords(z_t=depth).to_netcdf(folder / f"pop.e{member}.nc")


def veros(folder: Path) -> None:
    """A sector whose ends join, from the sea floor up, depths negative."""
    names = {"t": "temp", "s": "salt", "time": "Time", "z": "zt", "y": "yt", "x": "xt"}
    output = ocean().drop_vars("eta").rename(names).fillna(-1e18)
    axes = {
        "zt": ("zt", -DEPTH, {"units": "m"}),
        "yt": ("yt", LATITUDE, {"units": "degrees_north"}),
        "xt": ("xt", LONGITUDE / 6, {"units": "degrees_east"}),
        "Time": ("Time", output.Time.values, {"units": "days since 0001-01-01"}),
    }
    output = output.assign_coords(axes).isel(zt=slice(None, None, -1))
    grid = {
        "dzt": ("zt", LAYERS[::-1]),
        "area_t": (("yt", "xt"), np.full((ROWS, COLUMNS), 1e11)),
    }
    output.assign(grid).to_netcdf(folder / "basin.snapshot.nc")


EXPECTED = {
    nemo: {
        "reader": "nemo",
        "equation_of_state": "nemo-teos10",
        "one_member": True,
        "mesh_mask": Path("mesh_mask.nc"),
        "files": ["RUN_*_grid_T.nc"],
    },
    mitgcm: {"reader": "mitgcm", "equation_of_state": "jmd95"},
    cmip: {"reader": "cf", "equation_of_state": "nemo-eos80", "files": ["*.nc"]},
    mom6: {"reader": "cf", "equation_of_state": "nemo-eos80", "files": ["*.nc"]},
    pop: {"reader": "cf", "split": {"validation": [5], "test": [1]}},
    veros: {"reader": "veros", "equation_of_state": "veros-linear"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("write", EXPECTED, ids=lambda write: write.__name__)
def test_output_of_a_model_is_ingested_as_drafted(write, folder, capsys):
    write(folder)
    main(["init", "mine", "--files", "*.nc"])
    told = capsys.readouterr().out
    lines = Path("mine.yaml").read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=experiment.schema.json"
    assert [line for line in lines if not re.match(r"#|.+  # \S", line)] == []
    experiment = load_experiment(Path("mine.yaml"))
    described = experiment.data.ingest.model_dump()
    expected = EXPECTED[write]
    assert {key: described[key] for key in expected} == expected
    assert described["periodic_x"]
    assert "next: halocline ingest mine.yaml" in told

    main(["ingest", "mine.yaml"])
    archive = StateArchive.open("runs/mine/states.zarr")
    np.testing.assert_array_equal(archive.grid.wet, WET)
    np.testing.assert_allclose(archive.grid.depth, DEPTH)
    assert archive.has_sea_level == (write is not veros)
    assert all(len(archive.indices(part)) for part in ("train", "validation", "test"))
    summary = json.loads(Path("runs/mine/ingest.json").read_text())
    assert summary["states"]["train"] == len(archive.indices("train"))
    assert 1 < summary["independent_states"]["surface, 10 m"] < len(archive)
    assert summary["overturning_percent"] == {"pairs": 0, "columns": 0}


def test_real_output_of_nemo(shared_data, folder):
    """DINO's files name their equation of state; the restart beside them is no further member."""
    main(["init", "dino", "--files", f"{shared_data / 'nemo_dino4deg'}/*.nc"])
    settings = load_experiment(Path("dino.yaml")).data.ingest
    assert settings.files == [str(shared_data / "nemo_dino4deg" / "nemo_dino_4deg.nc")]
    assert settings.reader.mesh_mask == shared_data / "nemo_dino4deg" / "mesh_mask.nc"
    assert settings.equation_of_state == "nemo-seos"
    assert settings.reader.periodic_x


@pytest.mark.slow
def test_real_output_of_nemo_and_mitgcm_is_ingested(shared_data, folder, capsys):
    channel = shared_data / "mitgcm_eddying_channel"
    main(["init", "channel", "--files", f"{channel}/channel_tau*.nc"])
    settings = load_experiment(Path("channel.yaml")).data.ingest
    runs = [[channel / f"channel_tau{n}{end}.nc" for end in ("", "_long")] for n in ("012", "020")]
    assert [[path for one in run for path in matching(one)] for run in settings.files] == runs
    assert (settings.reader.name, settings.equation_of_state) == ("mitgcm", "jmd95")
    assert settings.split == "from_file"
    assert settings.reader.periodic_x

    main(["init", "dino", "--files", f"{shared_data / 'nemo_dino4deg'}/nemo*.nc"])
    for name in ("channel", "dino"):
        main(["ingest", f"{name}.yaml", "--data.ingest.interval_years", "0.2"])
        summary = json.loads(Path(f"runs/{name}/ingest.json").read_text())
        assert min(summary["independent_states"].values()) > 1
        assert summary["overturning_percent"]["pairs"] < 0.1
        assert len(StateArchive.open(f"runs/{name}/states.zarr").indices("train")) > 20


def pieces(folder: Path, **spans: tuple[int, int]) -> None:
    """A run of MITgcm in files of these spans of its states."""
    mitgcm(folder)
    with xr.open_dataset("state.nc", decode_times=False) as whole:
        for name, span in spans.items():
            whole.isel(time=slice(*span)).to_netcdf(f"{name}.nc")
    (folder / "state.nc").unlink()


def test_overlapping_pieces_are_one_run(folder, capsys):
    """As after a restart; a copy of a file adds nothing."""
    pieces(folder, run_1=(0, 20), run_2=(15, 40), run_3=(36, 48), copied=(15, 40))
    main(["init", "mine", "--files", "*.nc"])
    told = capsys.readouterr().out
    assert "wrote mine.yaml: 48 states, " in told
    assert (
        "check drop_overlap: True (9 states of the files repeat the end of the file before" in told
    )
    assert " repeats states of other files and is left out" in told
    main(["ingest", "mine.yaml"])
    archive = StateArchive.open("runs/mine/states.zarr")
    np.testing.assert_allclose(archive.time, 0.25 * np.arange(48))


def test_members_that_begin_alike_are_no_run(folder, capsys):
    pieces(folder, a=(0, 24), b=(0, 24), c=(0, 24))
    for number, name in enumerate("bc", 1):
        with xr.open_dataset(f"{name}.nc", decode_times=False) as file:
            member = file.load()
        member.THETA[1:] += 0.1 * number * member.hFacC
        member.to_netcdf(f"{name}.nc")
    main(["init", "mine", "--files", "*.nc"])
    told = capsys.readouterr().out
    assert "72 states of 3 members" in told
    assert "check: 2 of 72 states are identical to others" in told


def test_time_without_units_is_to_be_checked(folder, capsys):
    mitgcm(folder)
    with xr.open_dataset("state.nc", decode_times=False) as file:
        output = file.load()
    output["time"].attrs.clear()
    output.to_netcdf("bare.nc")
    main(["init", "mine", "--files", "bare.nc"])
    assert "check: time has no units and is taken to be in days, " in capsys.readouterr().out
    assert "# CHECK: time has no units" in Path("mine.yaml").read_text()
    main(["init", "set", "--files", "bare.nc", "--set", "time_units=hours"])
    assert "no units" not in capsys.readouterr().out
    assert load_experiment(Path("set.yaml")).data.ingest.reader.time_units == "hours"


@pytest.mark.parametrize("blown", [np.nan, np.inf, 1e4])
def test_a_state_that_blew_up_is_refused_as_by_ingest(folder, blown):
    mitgcm(folder)
    with xr.open_dataset("state.nc", decode_times=False) as file:
        output = file.load()
    output.THETA[5] = output.THETA[5].where(output.hFacC == 0, blown)
    output.to_netcdf("blown.nc")
    with pytest.raises(SystemExit) as caught:
        main(["init", "mine", "--files", "blown.nc"])
    assert "state 5 of blown.nc has" in str(caught.value.code)
    assert "leave out a state that blew up" in str(caught.value.code)


def test_ingest_counts_as_many_independent_states_as_init(folder, capsys, monkeypatch):
    """Also where `init` reads only some of the states."""
    mitgcm(folder)
    main(["init", "mine", "--files", "state.nc"])
    told = capsys.readouterr().out
    main(["ingest", "mine.yaml"])
    count = json.loads(Path("runs/mine/ingest.json").read_text())["independent_states"]
    assert f"independent states, about: {count['surface, 10 m']:.0f} (surface), " in told
    monkeypatch.setattr("data.inspection._MOST_READ", 20)
    monkeypatch.setattr("data.inspection._MOST_BYTES", 0)
    main(["init", "some", "--files", "state.nc"])
    assert "(by 20 of 48 states; ingest counts in all)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_drafted_experiment_trains_and_starts_a_model(folder):
    """Init, ingest, training for a few samples, states, an initial condition."""
    cmip(folder)
    main(["init", "mine", "--files", "*.nc"])
    few = {"samples": 8, "batch_size": 4, "warmup_samples": 4}
    overrides = {
        **{f"autoencoder.training.{key}": value for key, value in few.items()},
        **{f"diffusion.training.{key}": value for key, value in few.items()},
        "autoencoder.channels": "[8]",
        "diffusion.channels": "[8, 32]",
        "sampling.members": 2,
        "sampling.steps": 3,
    }
    words = [word for key, value in overrides.items() for word in (f"--{key}", str(value))]
    for command in (["ingest"], ["train", "autoencoder"], ["train", "diffusion"], ["sample"]):
        main([*command, "mine.yaml", *words])
    main(["export", "mine.yaml", "--output", "start.nc", *words])
    with xr.open_dataset("start.nc") as state:
        assert np.isfinite(state.thetao.values[WET]).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine", "--files", "none*.nc"], "no file matches none*.nc"),
        (["a/b", "--files", "*.nc"], "'a/b' is no name of an experiment"),
        (["old", "--files", "*.nc"], "old.yaml exists; choose another name"),
        (["other", "--files", "*.nc"], "runs/other exists and may hold another experiment"),
        (["mine", "--files", "*.nc", "--set", "time_step"], "expected KEY=VALUE"),
        (["mine", "--files", "*.nc", "--set", "reader=roms"], "there is no reader roms"),
        (
            ["mine", "--files", "*.nc", "--set", "mesh_mask=m.nc"],
            "the reader mitgcm takes no setting mesh_mask",
        ),
        (["mine", "--files", "*.nc", "--set", "variables.temperature=uo"], "no variable uo"),
        (["mine", "--files", "*.txt"], "notes.txt cannot be read"),
    ],
)
def test_what_cannot_be_drafted_is_said_and_nothing_written(folder, words, message):
    mitgcm(folder)
    (folder / "notes.txt").write_text("hello")
    (folder / "old.yaml").write_text("name: old")
    (folder / "runs" / "other").mkdir(parents=True)
    with pytest.raises(SystemExit) as caught:
        main(["init", *words])
    assert message in str(caught.value.code)
    assert len(str(caught.value.code).splitlines()) == 1
    assert [*folder.glob("*.yaml")] == [folder / "old.yaml"]
