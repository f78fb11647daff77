"""Model output into archives: the readers, their refusals, and real files."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from configs import load_experiment
from data.archive.reader import StateArchive
from data.archive.splits import apart, split_by_time_blocks
from data.errors import UserError
from data.geometry import EARTH_RADIUS, cell_area, centre_distances, layer_thickness
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.readers.settings import CfReader, MitgcmReader, NemoReader, Variables

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEPTH = [5.0, 20.0, 60.0]


def model_file(path, *, samples=12, seed=0):
    """A small CF dataset, written to `path` if there is one; NaN on land."""
    generator = np.random.default_rng(seed)
    wet = np.ones((3, 4, 5), bool)
    wet[2, 1] = False
    profile = np.array([20.0, 15.0, 8.0])[:, None, None]
    temperature = profile + generator.standard_normal((samples, 3, 4, 5))
    salinity = 35 + 0.1 * generator.standard_normal((samples, 3, 4, 5))
    volume = ("time", "z", "y", "x")
    dataset = xr.Dataset(
        {
            "votemper": (
                volume,
                np.where(wet, temperature, np.nan).astype("f4"),
                {"units": "degC", "standard_name": "sea_water_potential_temperature"},
            ),
            "so": (volume, np.where(wet, salinity, np.nan).astype("f4"), {"units": "1e-3"}),
        },
        coords={
            "depth": ("z", DEPTH, {"standard_name": "depth", "units": "m", "positive": "down"}),
            "lat": ("y", np.arange(4) * 10.0),
            "lon": ("x", np.arange(5) * 10.0),
            "time": (
                "time",
                360.0 * np.arange(samples),
                {"units": "days since 0001-01-01", "calendar": "360_day"},
            ),
        },
        attrs={"gm_diffusivity": 500.0 * (seed + 1)},
    )
    if path is not None:
        dataset.to_netcdf(path)
    return dataset


def settings(*files, **changes):
    defaults = {"equation_of_state": "jmd95", "split": {"gap_years": 1.0}}
    return IngestSettings(files=[str(file) for file in files], **(defaults | changes))


def test_members_with_parameters(tmp_path):
    first = model_file(tmp_path / "a.nc", seed=0)
    second = model_file(tmp_path / "b.nc", seed=1)
    described = settings(tmp_path / "*.nc", parameters=["gm_diffusivity"], periodic_x=True)
    ingest(described, output=tmp_path / "out.zarr")
    archive = StateArchive.open(tmp_path / "out.zarr")
    archive.verify()
    for row, source in ((3, first), (15, second)):
        expected = np.nan_to_num(source.votemper.values[3])
        np.testing.assert_array_equal(archive.read([row]).temperature[0], expected)
    np.testing.assert_array_equal(archive.member, [0] * 12 + [1] * 12)
    np.testing.assert_array_equal(archive.parameters["gm_diffusivity"][[0, -1]], [500, 1000])
    np.testing.assert_allclose(archive.time[:3], [0, 1, 2])
    assert {0, 1, 2} <= {*archive.split}
    assert archive.grid.periodic_x
    assert archive.attributes["source_files"] == ["a.nc", "b.nc"]
    np.testing.assert_allclose(archive.grid.thickness[:, 0, 0], [12.5, 27.5, 40])


def pieces(folder, *spans, change=None):
    """One run in files `run_0.nc`, `run_1.nc` ... of the spans of its 24 states."""
    whole = model_file(None, samples=24)
    for number, span in enumerate(spans):
        piece = whole.isel(time=slice(*span)).copy(deep=True)
        if change is not None and number:
            piece.votemper[0, 0, 0, 0] += change
        piece.to_netcdf(folder / f"run_{number}.nc")
    return str(folder / "run_*.nc")


@pytest.mark.parametrize("split", [{"gap_years": 0.0}, {"validation": [1], "test": [2]}])
def test_identical_states_in_two_parts_are_refused(tmp_path, split):
    """Pieces of one run that overlap, each taken for a member."""
    files = pieces(tmp_path, (0, 12), (10, 20), (18, 24))
    sentence = (
        r"^state 0 of .*run_1.nc \(\w+, member 1\) is identical to state 10 of .*run_0.nc \(\w+, "
        r"member 0\): expected no state in two parts of the split, .*drop_overlap: true"
    )
    with pytest.raises(UserError, match=sentence):
        ingest(settings(files, split=split), output=tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_a_copy_that_is_unused_hides_no_other(tmp_path):
    repeated = model_file(None).isel(time=[0, 0, 0, *range(1, 12)])
    repeated["time"] = ("time", 360.0 * np.arange(14), repeated.time.attrs)
    repeated["split"] = ("time", np.array([-1, 0, 2, *[0] * 9, 1, 2], np.int8))
    repeated.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r"^state 2 .* is identical to state 1 .*two parts"):
        ingest(settings(tmp_path / "a.nc", split="from_file"), output=tmp_path / "out.zarr")


def test_identical_states_in_one_part_count_once(tmp_path):
    files = pieces(tmp_path, (0, 24), (0, 24))
    summary = ingest(settings(files, split="all_test"), output=tmp_path / "out.zarr")
    assert max(summary.as_dict()["independent_states"].values()) <= 24
    assert any("24 states are identical to others" in one for one in summary.warnings())


def branching(folder):
    """Three members of 12 yearly states that branch from one state."""
    members = [model_file(None, seed=seed) for seed in range(3)]
    for name, member in zip("abc", members, strict=True):
        member.votemper[0] = members[0].votemper[0]
        member.so[0] = members[0].so[0]
        member.to_netcdf(folder / f"{name}.nc")
    return str(folder / "*.nc")


def test_the_state_that_members_branch_from_is_discarded(tmp_path):
    files, split = branching(tmp_path), {"validation": [1], "test": [2]}
    with pytest.raises(
        UserError, match=r"^state 0 .*if the members branch .* data.ingest.discard_years"
    ):
        ingest(settings(files, split=split), output=tmp_path / "all.zarr")
    ingest(settings(files, split=split, discard_years=0.01), output=tmp_path / "settled.zarr")
    archive = StateArchive.open(tmp_path / "settled.zarr")
    np.testing.assert_array_equal(archive.member, np.repeat([0, 1, 2], 11))


def test_the_first_years_of_each_member_are_discarded_across_its_files(tmp_path):
    """The first file has none of the states that are left."""
    files = pieces(tmp_path, (0, 6), (6, 24))
    described = settings(files, one_member=True, discard_years=8.0)
    ingest(described, output=tmp_path / "out.zarr")
    archive = StateArchive.open(tmp_path / "out.zarr")
    assert len(archive) == 16
    np.testing.assert_allclose(np.diff(archive.time), 1)
    assert archive.attributes["source_files"] == ["run_1.nc"]


def test_more_years_than_there_are_cannot_be_discarded(tmp_path):
    with pytest.raises(UserError, match=r"discard_years 40 .*longest member spans 23 years"):
        ingest(
            settings(pieces(tmp_path, (0, 24)), discard_years=40.0), output=tmp_path / "out.zarr"
        )
    assert not (tmp_path / "out.zarr").exists()


def test_an_overlap_is_dropped_where_it_is_equal(tmp_path):
    files = pieces(tmp_path, (0, 12), (4, 9), (10, 24))
    joined = {"one_member": True, "drop_overlap": True}
    ingest(settings(files, **joined), output=tmp_path / "out.zarr")
    archive = StateArchive.open(tmp_path / "out.zarr")
    np.testing.assert_allclose(archive.time, np.arange(24))
    expected = np.nan_to_num(model_file(None, samples=24).votemper.values[20])
    np.testing.assert_array_equal(archive.read([20]).temperature[0], expected)
    with pytest.raises(
        UserError, match=r"not after its last, .*set data.ingest.drop_overlap: true if"
    ):
        ingest(settings(files, one_member=True), output=tmp_path / "not.zarr")
    pieces(tmp_path, (0, 12), (4, 9), (10, 24), change=1e-3)
    with pytest.raises(UserError, match=r"overlaps it in 5 states, but they differ, as state 0"):
        ingest(settings(files, **joined), output=tmp_path / "not.zarr")
    with pytest.raises(ValidationError, match="drop_overlap is of files that continue each other"):
        settings(files, drop_overlap=True)


def test_zarr_is_read_like_netcdf(tmp_path):
    model_file(None).to_zarr(tmp_path / "a.zarr", zarr_format=2)
    output = CfReader().open(tmp_path / "a.zarr")
    assert len(output) == 12
    assert output.grid.shape == (3, 4, 5)


def test_bottom_first_and_upward_depth(tmp_path):
    source = model_file(None)
    upward = source.isel(z=slice(None, None, -1)).assign_coords(
        depth=("z", -np.array(DEPTH)[::-1], {"units": "m", "positive": "up"})
    )
    upward.to_netcdf(tmp_path / "up.nc")
    with pytest.raises(UserError, match=r"positive upward .-60 to -5 m.*depth_positive: up"):
        CfReader().open(tmp_path / "up.nc")
    output = CfReader(depth_positive="up").open(tmp_path / "up.nc")
    np.testing.assert_array_equal(output.grid.depth, DEPTH)
    read = output.read(slice(0, 1)).temperature[0]
    np.testing.assert_array_equal(read, np.nan_to_num(source.votemper.values[0]))


def test_kelvin_is_refused_or_converted(tmp_path):
    source = model_file(None)
    warm = source.assign(votemper=(source.votemper + 273.15).assign_attrs(source.votemper.attrs))
    warm.to_netcdf(tmp_path / "k.nc")
    with pytest.raises(UserError, match=r"in kelvin .*temperature_units: K to convert"):
        CfReader().open(tmp_path / "k.nc")
    read = CfReader(temperature_units="K").open(tmp_path / "k.nc")
    np.testing.assert_allclose(
        read.read(slice(0, 1)).temperature[0], np.nan_to_num(source.votemper.values[0]), atol=5e-5
    )


def test_missing_variables_are_named(tmp_path):
    model_file(None).drop_vars("so").to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r"has no salinity: expected .* found votemper, depth"):
        CfReader().open(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r"has no variable salt for salinity: found votemper"):
        CfReader(variables=Variables(salinity="salt")).open(tmp_path / "a.nc")


def test_nan_in_a_wet_cell_leaves_no_archive(tmp_path):
    source = model_file(None)
    source.so[7, 0, 2, :2] = np.nan
    source.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r"state 7 of .*a.nc has NaN in 2 wet cells of so"):
        ingest(settings(tmp_path / "a.nc"), output=tmp_path / "out.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["a.nc"]


def test_land_as_zero_is_noticed(tmp_path):
    source = model_file(None)
    source.assign(votemper=source.votemper.fillna(9.0)).fillna(0.0).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r"no mask and a salinity of exactly 0 in 5 cells"):
        CfReader().open(tmp_path / "a.nc")


def test_files_of_different_grids(tmp_path):
    source = model_file(tmp_path / "a.nc")
    source.isel(z=slice(2)).to_netcdf(tmp_path / "b.nc")
    source.where(source.lon > 0).transpose(*source.votemper.dims).to_netcdf(tmp_path / "c.nc")
    files = [tmp_path / name for name in ("a.nc", "b.nc", "c.nc")]
    with pytest.raises(UserError, match=r"b.nc has \(2, 4, 5\) cells"):
        ingest(settings(files[0], files[1]), output=tmp_path / "o.zarr")
    with pytest.raises(UserError, match=r"c.nc has another wet mask than .*a.nc in 11 cells"):
        ingest(settings(files[0], files[2]), output=tmp_path / "o.zarr")


def test_pieces_of_one_domain(tmp_path):
    source = model_file(tmp_path / "state.t001.nc")
    source.assign_coords(lon=source.lon + 80).to_netcdf(tmp_path / "state.t002.nc")
    files = [tmp_path / "state.t001.nc", tmp_path / "state.t002.nc"]
    with pytest.raises(UserError, match=r"t002.nc has other longitudes than .*; .* join them"):
        ingest(settings(*files), output=tmp_path / "o.zarr")


def test_unreadable_or_absent_files(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"CDF\x01 truncated")
    with pytest.raises(UserError, match=r"a.nc cannot be read"):
        ingest(settings(tmp_path / "a.nc"), output=tmp_path / "o.zarr")
    with pytest.raises(UserError, match=r"no file matches .*absent"):
        ingest(settings(tmp_path / "absent*.nc"), output=tmp_path / "o.zarr")


def test_settings_refuse_unknown_keys_and_missing_attributes(tmp_path):
    with pytest.raises(ValidationError, match=r"periodic_y"):
        settings("a.nc", periodic_y=True)
    model_file(tmp_path / "a.nc")
    with pytest.raises(
        UserError, match=r"no global attribute wind: correct data.ingest.parameters"
    ):
        ingest(settings(tmp_path / "a.nc", parameters=["wind"]), output=tmp_path / "o.zarr")
    with pytest.raises(UserError, match=r"no variable split, which data.ingest requires"):
        ingest(settings(tmp_path / "a.nc", split="from_file"), output=tmp_path / "o.zarr")


def test_options_belong_to_their_reader():
    options = {"mesh_mask": "mesh_mask.nc", "periodic_x": True}
    given = settings("a.nc", reader="nemo", time_step=None, **options)
    assert given.reader.name == "nemo" and given.reader.periodic_x
    assert given.reader.mesh_mask.name == "mesh_mask.nc"
    assert IngestSettings(**given.model_dump(mode="json")) == given
    with pytest.raises(ValidationError, match=r"mitgcm\.mesh_mask\s+Extra inputs"):
        settings("a.nc", reader="mitgcm", mesh_mask="mesh_mask.nc")
    with pytest.raises(ValidationError, match=r"no reader roms; .* cf, mitgcm, mitgcm-mds, nemo"):
        settings("a.nc", reader="roms")


def test_the_archive_records_how_it_was_read_without_local_paths(tmp_path):
    model_file(tmp_path / "a.nc")
    ingest(settings(tmp_path / "a.nc", periodic_x=True), output=tmp_path / "out.zarr")
    recorded = StateArchive.open(tmp_path / "out.zarr").attributes["ingest_settings"]
    assert recorded["reader"] == "cf" and recorded["periodic_x"]
    assert "files" not in recorded


def test_areas_cover_the_sphere():
    longitude, latitude = np.arange(0.5, 360), np.arange(-89.5, 90)
    sphere = 4 * np.pi * EARTH_RADIUS**2
    assert cell_area(longitude, latitude).sum() == pytest.approx(sphere, rel=1e-9)
    curvilinear = cell_area(*np.meshgrid(longitude, latitude))
    assert curvilinear.sum() == pytest.approx(sphere, rel=1e-3)


def test_distances_on_the_sphere_and_on_a_plane():
    longitude, latitude = np.arange(2.0, 360, 4), np.arange(-78.0, 79, 4)
    east, north = centre_distances(longitude, latitude)
    degree = np.deg2rad(EARTH_RADIUS)
    parallels = np.cos(np.deg2rad(latitude))[:, None] * np.ones(90)
    np.testing.assert_allclose(east, 4 * degree * parallels)
    np.testing.assert_allclose(north, 4 * degree)
    # A sector that closes on itself, and a grid given cell by cell across the date line.
    sector, _ = centre_distances(longitude[:10], latitude)
    np.testing.assert_allclose(sector, east[:, :10])
    turned = np.meshgrid((longitude + 178) % 360 - 180, latitude)
    np.testing.assert_allclose(centre_distances(*turned), (east, north))
    x, y = centre_distances(np.array([0.0, 10, 30]), np.array([0.0, 5]), units="km")
    np.testing.assert_allclose(x, [[1e4, 2e4, 1.5e4]] * 2)
    np.testing.assert_allclose(y, 5e3)


def test_thickness_from_bounds_and_centres():
    bounds = np.array([[0, 10], [10, 40], [40, 100.0]])
    np.testing.assert_array_equal(
        layer_thickness(np.array([5, 25, 70.0]), bounds=bounds), [10, 30, 60]
    )
    np.testing.assert_array_equal(layer_thickness(np.array([5, 15, 25.0])), [10, 10, 10])


def test_mitgcm_partial_cells(shared_data):
    path = shared_data / "mitgcm_global4deg" / "mitgcm_global4deg_k1000.nc"
    output = MitgcmReader(periodic_x=True).open(path)
    with xr.open_dataset(path, decode_times=False) as raw:
        expected = (raw.drf * raw.hfac).transpose("z", "y", "x").values
        np.testing.assert_allclose(
            output.grid.thickness, np.where(raw.mask, expected, 0), rtol=1e-6
        )
        # Areas derived from the centres agree with those that the model used.
        area = cell_area(output.grid.longitude, output.grid.latitude)
        np.testing.assert_allclose(area, raw.area, rtol=2e-3)
    assert output.years[0] == pytest.approx(36090 / 360)
    assert output.sea_level is not None
    assert output.grid.wet.mean() == pytest.approx(0.543, abs=1e-3)


def test_mitgcm_channel_keeps_its_split(shared_data, tmp_path):
    path = shared_data / "mitgcm_eddying_channel" / "channel_tau012.nc"
    short = xr.open_dataset(path, decode_times=False).isel(time=[0, 1, 86, 92, 110])
    short.to_netcdf(tmp_path / "short.nc")
    described = settings(
        tmp_path / "short.nc",
        reader="mitgcm",
        split="from_file",
        parameters=["wind_stress_peak_N_m2"],
    )
    ingest(described, output=tmp_path / "channel.zarr.zip")
    archive = StateArchive.open(tmp_path / "channel.zarr.zip")
    np.testing.assert_array_equal(archive.split, [0, 0, -1, 1, 2])
    assert archive.grid.horizontal_units == "km"
    assert archive.has_sea_level
    np.testing.assert_array_equal(
        archive.read([3]).sea_level[0], np.nan_to_num(short.zos.values[3])
    )
    assert archive.grid.volume.sum() == pytest.approx(5.44346e15, rel=1e-5)


def test_the_parts_of_the_channel_sample_both_whole_runs(shared_data):
    settings = load_experiment(CONFIGS / "eddying_channel.yaml").data.ingest
    for number, patterns in enumerate(settings.files):
        files = sorted((shared_data / "mitgcm_eddying_channel").glob(Path(patterns[0]).name))
        assert len(files) == 2
        years = np.concatenate([MitgcmReader().open(file).years for file in files])
        member = np.full(len(years), number)
        years = years[apart(years, member, interval_years=settings.interval_years)]
        split = split_by_time_blocks(years, member[: len(years)], **settings.split.model_dump())
        parts = [365 * years[split == part] for part in (0, 1, 2)]
        distances = [abs(a[:, None] - b).min() for a, b in combinations(parts, 2)]
        assert min(distances) == pytest.approx(50)  # days
        assert np.ptp([part.mean() for part in parts]) < 0.04 * np.ptp(parts[0])


def test_nemo_with_and_without_its_mesh_mask(shared_data):
    folder = shared_data / "nemo_dino4deg"
    path = folder / "nemo_dino_4deg.nc"
    own = NemoReader().open(path)
    mesh = NemoReader(mesh_mask=folder / "mesh_mask.nc").open(path)
    np.testing.assert_array_equal(own.grid.wet, mesh.grid.wet)
    np.testing.assert_allclose(own.grid.volume, mesh.grid.volume, rtol=1e-5)
    assert own.grid.longitude.shape == (51, 14)
    assert own.sea_level is None
    with pytest.raises(UserError, match=r"expected a NEMO mesh mask"):
        NemoReader(mesh_mask=path).open(path)


def test_metres_become_kilometres(tmp_path):
    source = model_file(None)
    source["lon"].attrs["units"] = source["lat"].attrs["units"] = "m"
    source.assign_coords(lon=source.lon * 1e3, lat=source.lat * 1e3).to_netcdf(tmp_path / "m.nc")
    grid = CfReader().open(tmp_path / "m.nc").grid
    assert grid.horizontal_units == "km"
    np.testing.assert_allclose(grid.longitude, 10.0 * np.arange(5))
    np.testing.assert_allclose(grid.area, 1e8)


def test_latitude_beyond_the_poles_needs_units(tmp_path):
    source = model_file(None)
    source.assign_coords(lat=source.lat * 10).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r"a.nc has a position beyond the poles .* y = 100: expect"):
        CfReader().open(tmp_path / "a.nc")


def test_area_does_not_care_about_the_date_line():
    latitude = np.array([-1.0, 0.0, 1.0])
    across = cell_area(np.array([177.0, 179.0, -179.0, -177.0]), latitude)
    np.testing.assert_allclose(across, cell_area(np.array([1.0, 3.0, 5.0, 7.0]), latitude))


def test_missing_areas_and_moving_layers(tmp_path):
    source = model_file(None)
    area = np.full((4, 5), 1e9)
    area[1] = np.nan
    e3t = np.broadcast_to(np.array([10.0, 20.0, 40.0])[:, None, None], (12, 3, 4, 5)).copy()
    e3t += np.linspace(-1, 1, 12)[:, None, None, None]
    moving = source.assign(
        cell_area=(("y", "x"), area), e3t=(source.votemper.dims, e3t, {"units": "m"})
    )
    moving.where(source.lat != 10.0).transpose(*source.votemper.dims).to_netcdf(tmp_path / "a.nc")
    grid = CfReader().open(tmp_path / "a.nc").grid
    np.testing.assert_array_equal(grid.area[:3, 0], [1e9, 0, 1e9])
    np.testing.assert_allclose(grid.thickness[:, 0, 0], [10, 20, 40])
    assert not grid.thickness[:, 1].any()


@pytest.mark.parametrize(
    ("units", "interval"),
    [
        ("seconds since 0001-01-01", 360 * 86400.0),
        ("min since 0001-01-01", 360 * 1440.0),
        ("Hours since 0001-01-01", 360 * 24.0),
        ("d since 0001-01-01", 360.0),
        ("months since 0001-01-01", 12.0),
        ("years", 1.0),
    ],
)
def test_time_comes_in_years(tmp_path, units, interval):
    source = model_file(None)
    clock = ("time", interval * np.arange(12), {"units": units, "calendar": "360_day"})
    source.assign_coords(time=clock).to_netcdf(tmp_path / "a.nc")
    np.testing.assert_allclose(CfReader().open(tmp_path / "a.nc").years, np.arange(12))


def without_units(path, days, *, scale=1.0):
    source = model_file(None, samples=len(days))
    source.assign_coords(time=("time", scale * np.asarray(days))).to_netcdf(path)
    return path


@pytest.mark.parametrize(
    ("name", "scale"), [("seconds", 86400.0), ("hours", 24.0), ("years", 1 / 365.25)]
)
def test_time_without_units_is_as_set_or_said_to_be_days(tmp_path, name, scale):
    days = 365.25 * np.arange(12)
    ingest(settings(without_units(tmp_path / "d.nc", days)), output=tmp_path / "d.zarr")
    path = without_units(tmp_path / "a.nc", days, scale=scale)
    summary = ingest(settings(path, time_units=name), output=tmp_path / "a.zarr")
    np.testing.assert_allclose(StateArchive.open(tmp_path / "a.zarr").time, np.arange(12))
    assert not any("units" in sentence for sentence in summary.warnings())
    summary = ingest(settings(tmp_path / "d.nc"), output=tmp_path / "b.zarr")
    assert any("time has no units and is taken to be in days" in one for one in summary.warnings())


@pytest.mark.parametrize("days", [365.25 * np.arange(12), 30.0 * np.arange(12), [36525.0]])
def test_seconds_taken_for_days_are_refused(tmp_path, days):
    path = without_units(tmp_path / "a.nc", days, scale=86400.0)
    with pytest.raises(
        UserError, match=r"^time of .*a.nc has no units, and .* set data.ingest.time_units"
    ):
        CfReader().open(path)


def test_unknown_time_units(tmp_path):
    source = model_file(None)
    source["time"].attrs["units"] = "fortnights since 0001-01-01"
    source.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match=r'units "fortnights since .*expected seconds, minutes'):
        CfReader().open(tmp_path / "a.nc")


def test_files_of_one_member_continue_each_other(tmp_path):
    model_file(tmp_path / "a.nc")
    source = model_file(None, seed=1)
    source.assign_coords(time=source.time.copy(data=source.time + 12 * 360.0)).to_netcdf(
        tmp_path / "b.nc"
    )
    files = [tmp_path / "a.nc", tmp_path / "b.nc"]
    ingest(settings(*files, one_member=True), output=tmp_path / "o.zarr")
    archive = StateArchive.open(tmp_path / "o.zarr")
    np.testing.assert_allclose(archive.time, np.arange(24))
    assert not archive.member.any()
    with pytest.raises(UserError, match=r"begins at year 0, which is not after its last, 23"):
        ingest(settings(*files[::-1], one_member=True), output=tmp_path / "p.zarr")
    source["time"].attrs["units"] = "days"
    source.to_netcdf(tmp_path / "c.nc")
    with pytest.raises(UserError, match=r"counts time in days 360_day instead of days since 0001"):
        ingest(settings(files[0], tmp_path / "c.nc", one_member=True), output=tmp_path / "p.zarr")


def two_runs_in_two_files_each(folder):
    """Two runs: 24 years in two files, a state a year; the runs begin alike."""
    for run in (0, 1):
        for part in (0, 1):
            source = model_file(None, seed=2 * run + part).assign_attrs(gm_diffusivity=500.0 + run)
            later = source.time.copy(data=source.time + part * 12 * 360.0)
            source.assign_coords(time=later).to_netcdf(folder / f"run{run}_{part}.nc")
    return [[str(folder / f"run{run}_*.nc")] for run in (0, 1)]


def test_a_list_of_files_is_one_member(tmp_path):
    files = two_runs_in_two_files_each(tmp_path)
    split = {"gap_years": 1.0, "blocks": 2}
    described = IngestSettings(
        files=files, equation_of_state="jmd95", split=split, parameters=["gm_diffusivity"]
    )
    ingest(described, output=tmp_path / "o.zarr")
    archive = StateArchive.open(tmp_path / "o.zarr")
    np.testing.assert_array_equal(archive.member, np.repeat([0, 1], 24))
    np.testing.assert_allclose(archive.time, np.tile(np.arange(24), 2))
    np.testing.assert_array_equal(
        archive.parameters["gm_diffusivity"][[0, 23, 24]], [500, 500, 501]
    )
    one_run = [0] * 7 + [-1, 1, -1, 2, 2]
    np.testing.assert_array_equal(archive.split[:24], [*one_run, *one_run[::-1]])
    backwards = [files[0], [str(tmp_path / f"run1_{part}.nc") for part in (1, 0)]]
    with pytest.raises(UserError, match=r"begins at year 0, which is not after its last, 23"):
        ingest(described.model_copy(update={"files": backwards}), output=tmp_path / "p.zarr")


def test_lists_of_members_are_all_or_none():
    with pytest.raises(ValidationError, match=r"give every member a list of its files, or none"):
        IngestSettings(files=["a.nc", ["b.nc"]], equation_of_state="jmd95")
    with pytest.raises(ValidationError, match=r"one_member joins all files, but files lists membe"):
        IngestSettings(files=[["a.nc"]], one_member=True, equation_of_state="jmd95")
    with pytest.raises(ValidationError, match=r"at least 1 item"):
        IngestSettings(files=[[]], equation_of_state="jmd95")


def test_states_close_in_time_are_left_out(tmp_path):
    files = two_runs_in_two_files_each(tmp_path)
    described = IngestSettings(
        files=files, equation_of_state="jmd95", interval_years=5, split={"gap_years": 0.0}
    )
    ingest(described, output=tmp_path / "o.zarr")
    archive = StateArchive.open(tmp_path / "o.zarr")
    # The interval runs on from file to file of a member.
    np.testing.assert_allclose(archive.time, [0, 5, 10, 15, 20] * 2)
    third = xr.open_dataset(tmp_path / "run0_1.nc", decode_times=False).votemper.values[3]
    np.testing.assert_array_equal(archive.read([3]).temperature[0], np.nan_to_num(third))


def test_split_by_member(tmp_path):
    for number, name in enumerate("abc"):
        model_file(tmp_path / f"{name}.nc", samples=2, seed=number)
    described = settings(tmp_path / "*.nc", split={"validation": [2], "test": [0]})
    ingest(described, output=tmp_path / "o.zarr")
    np.testing.assert_array_equal(StateArchive.open(tmp_path / "o.zarr").split, [2, 2, 0, 0, 1, 1])


def test_too_short_a_file_mentions_one_member(tmp_path):
    model_file(tmp_path / "a.nc", samples=1)
    with pytest.raises(UserError, match=r"spans 0 years with 1 states.*one_member: true"):
        ingest(settings(tmp_path / "a.nc"), output=tmp_path / "o.zarr")


def test_an_equation_of_state_that_is_not_known_is_refused_at_once():
    with pytest.raises(ValidationError, match=r"'jmd95', 'linear', 'nemo-eos80'"):
        settings("a.nc", equation_of_state="unesco")


def test_files_of_one_state_with_and_without_a_time(tmp_path):
    for number, name in enumerate("ab"):
        model_file(None).isel(time=number).to_netcdf(tmp_path / f"{name}.nc")
    years = [CfReader().open(tmp_path / f"{name}.nc").years for name in "ab"]
    np.testing.assert_allclose(years, [[0], [1]])
    for name in "cd":
        model_file(None).isel(time=0, drop=True).to_netcdf(tmp_path / f"{name}.nc")
    with pytest.raises(UserError, match=r"which is not after its last"):
        ingest(settings(tmp_path / "[cd].nc", one_member=True), output=tmp_path / "o.zarr")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"split": "random"},
            r"expected from_file, all_test, fractions of time .* or lists of members",
        ),
        ({"split": {"train": 0.9, "validation": 0.2}}, r"leave no test part: give a sum below 1"),
        ({"split": {"validation": [1], "test": [1]}}, r"member 1 is in both validation and test"),
        ({"variables": {"salinity": "none"}}, r"salinity is needed and cannot be none"),
    ],
)
def test_settings_that_cannot_be_meant(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings("a.nc", **changes)
