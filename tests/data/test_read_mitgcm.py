"""MITgcm's own binary files: whole, in tiles, and from them to initial files and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid
from data.readers.mds import MdsFolder
from data.readers.settings import MdsReader, MitgcmReader, Variables
from halocline import main

LEVELS, ROWS, COLUMNS = 4, 6, 8
STEPS = (720, 1440, 2160)
DAY = 86400.0


def write_mds(folder, name, values, *, step=None, tiles=(1, 1), fields=(), seconds=None):
    """`values` as MITgcm's `mdsio` writes them; fields: names of what is stacked in `values`."""
    values = np.asarray(values)
    stacked = values if fields else values[None]
    rows, columns = values.shape[-2:]
    suffix = "" if step is None else f".{step:010d}"
    for j in range(tiles[0]):
        for i in range(tiles[1]):
            y = slice(j * rows // tiles[0], (j + 1) * rows // tiles[0])
            x = slice(i * columns // tiles[1], (i + 1) * columns // tiles[1])
            tile = f".{i + 1:03d}.{j + 1:03d}" if tiles != (1, 1) else ""
            stacked[..., y, x].astype(">f4").tofile(folder / f"{name}{suffix}{tile}.data")
            whole = [(size, 1, size) for size in stacked.shape[1:-2]]
            parts = [(size, s.start + 1, s.stop) for size, s in ((rows, y), (columns, x))]
            text = _meta([*whole, *parts], len(stacked), step, fields, seconds)
            (folder / f"{name}{suffix}{tile}.meta").write_text(text)


def _meta(sizes, records, step, fields, seconds):
    dims = ",\n".join(" " + ",".join(f"{number:5d}" for number in size) for size in sizes[::-1])
    lines = [
        f" nDims = [ {len(sizes):3d} ];",
        f" dimList = [\n{dims}\n ];",
        " dataprec = [ 'float32' ];",
        f" nrecords = [ {records:5d} ];",
    ]
    lines += [f" timeStepNumber = [ {step:10d} ];"] if step is not None else []
    lines += [f" timeInterval = [{seconds - DAY:20.12E}{seconds:20.12E} ];"] if seconds else []
    if fields:
        names = "".join(f" '{name:8s}'" for name in fields)
        lines += [f" nFlds = [ {len(fields):4d} ];", f" fldList = {{\n{names}\n }};"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def grid() -> OceanGrid:
    """A coast, a sill, and a partial cell on it."""
    wet = np.ones((LEVELS, ROWS, COLUMNS), bool)
    wet[:, 0] = wet[:, 2:4, 5] = False
    wet[2:, 4, 3] = False
    thickness = np.array([50.0, 70.0, 200.0, 500.0])[:, None, None] * wet
    thickness[1, 4, 3] = 35
    return OceanGrid(
        depth=np.array([25.0, 85.0, 220.0, 570.0]),
        thickness=thickness,
        area=np.full((ROWS, COLUMNS), 1.5e11),
        wet=wet,
        longitude=4.0 * np.arange(COLUMNS) + 2,
        latitude=4.0 * np.arange(ROWS) - 70,
        periodic_x=True,
    )


def write_grid(folder, grid, *, tiles=(1, 1), scale=1.0):
    heights = grid.thickness.max((1, 2)).reshape(-1, 1, 1)
    x, y = np.meshgrid(scale * grid.longitude, scale * grid.latitude)
    maps = {"XC": x, "YC": y, "RAC": grid.area, "hFacC": grid.thickness / heights}
    for name, values in maps.items():
        write_mds(folder, name, values, tiles=tiles)
    write_mds(folder, "RC", -grid.depth.reshape(-1, 1, 1))
    write_mds(folder, "DRF", heights)


def states(grid):
    """Stable T, S and Eta, `step z y x`, in single precision; land 0 as MITgcm has it."""
    random = np.random.default_rng(1)
    shape = (len(STEPS), *grid.shape)
    profile = np.array([20.0, 15.0, 8.0, 2.0])[:, None, None]
    t = (profile + 0.1 * random.normal(size=shape)) * grid.wet
    s = (35 + 0.01 * random.normal(size=shape)) * grid.wet
    eta = 0.1 * random.normal(size=(shape[0], *shape[2:])) * grid.wet[0]
    return [field.astype("f4") for field in (t, s, eta)]


def write_run(folder: Path, grid, *, tiles=(1, 1)) -> Path:
    """Grid and snapshots, whole or in tiles."""
    folder.mkdir(exist_ok=True)
    write_grid(folder, grid, tiles=tiles)
    for name, values in zip(("T", "S", "Eta"), states(grid), strict=True):
        for step, field in zip(STEPS, values, strict=True):
            write_mds(folder, name, field, step=step, tiles=tiles)
    return folder


def read(folder, **options):
    conventions = {"periodic_x": True, "calendar": "360_day"}
    return MdsReader(**(conventions | options)).open(folder)


@pytest.mark.parametrize("tiles", [(1, 1), (2, 2), (3, 1)], ids=["whole", "4 tiles", "3 tiles"])
def test_snapshots(tmp_path, grid, tiles):
    output = read(write_run(tmp_path, grid, tiles=tiles), time_step=DAY / 2)
    np.testing.assert_allclose(output.years, [1, 2, 3])
    assert output.grid.digest == grid.digest
    for name in ("thickness", "area", "longitude", "latitude"):
        np.testing.assert_allclose(getattr(output.grid, name), getattr(grid, name), rtol=1e-6)
    t, s, eta = states(grid)
    read_back = output.read(slice(None))
    np.testing.assert_array_equal(read_back.temperature, t)
    np.testing.assert_array_equal(read_back.salinity, s)
    np.testing.assert_array_equal(read_back.sea_level, eta)
    np.testing.assert_array_equal(output.read(slice(1, 2)).temperature, t[1:2])


def test_diagnostics_with_times_and_a_grid_elsewhere(tmp_path, grid):
    (tmp_path / "grid").mkdir()
    (tmp_path / "run").mkdir()
    write_grid(tmp_path / "grid", grid, tiles=(2, 1))
    t, s, eta = states(grid)
    for row, step in enumerate(STEPS):
        seconds = DAY * 360 * (row + 1)
        volumes = np.stack([t[row], s[row]])
        options = {"step": step, "tiles": (1, 2), "seconds": seconds}
        write_mds(tmp_path / "run", "dyn", volumes, fields=("THETA", "SALT"), **options)
        write_mds(tmp_path / "run", "surf", eta[row][None], fields=("ETAN",), **options)
    output = read(tmp_path / "run", grid_files=tmp_path / "grid")
    np.testing.assert_allclose(output.years, [1, 2, 3])
    np.testing.assert_array_equal(output.read(slice(2, 3)).salinity, s[2:])
    np.testing.assert_array_equal(output.read(slice(2, 3)).sea_level, eta[2:])
    named = Variables(temperature="SALT", salinity="THETA")
    swapped = read(tmp_path / "run", grid_files=tmp_path / "grid", variables=named)
    np.testing.assert_array_equal(swapped.read(slice(0, 1)).temperature, s[:1])
    with pytest.raises(UserError, match=r"no salinity S4: it has ETAN, SALT, THETA; name it"):
        read(
            tmp_path / "run",
            grid_files=tmp_path / "grid",
            variables=Variables(salinity="S4"),
        )


def test_xmitgcm_reads_the_same(tmp_path, grid):
    utils = pytest.importorskip("xmitgcm.utils", reason="xmitgcm is not installed")
    write_run(tmp_path, grid)
    run = MdsFolder(tmp_path)
    for name in ("T", "Eta"):
        expected = utils.read_mds(str(tmp_path / name), STEPS[1], use_dask=False)[name]
        np.testing.assert_array_equal(run.series(name)[name][STEPS[1]].read(), expected)
    expected = utils.read_mds(str(tmp_path / "hFacC"), use_dask=False)["hFacC"]
    np.testing.assert_array_equal(run.constant("hFacC").read(), expected)


def test_a_plane_is_recognised_by_its_size(tmp_path, grid):
    write_run(tmp_path, grid)
    write_grid(tmp_path, grid, scale=1e4)
    output = read(tmp_path, time_step=DAY)
    assert output.grid.horizontal_units == "km"
    np.testing.assert_allclose(output.grid.longitude, 10 * grid.longitude)


def test_what_is_missing_is_said(tmp_path, grid):
    folder = write_run(tmp_path / "run", grid, tiles=(2, 2))
    with pytest.raises(
        UserError, match=r"do not state the model time: give .* as data.ingest.time_step"
    ):
        read(folder)
    lost = folder / "T.0000000720.002.001.meta"
    kept = lost.read_text()
    lost.unlink()
    with pytest.raises(UserError, match=r"001.data has no .meta file, so it would be left out"):
        read(folder, time_step=DAY)
    data = folder / "T.0000000720.002.001.data"
    numbers = data.read_bytes()
    data.unlink()
    with pytest.raises(UserError, match=r"holds 3 tiles of T, without 7 of 48 columns .* every"):
        read(folder, time_step=DAY)
    lost.write_text(kept)
    data.write_bytes(numbers[:-4])
    with pytest.raises(UserError, match=r"001.data has 188 bytes, by its .meta file 192"):
        read(folder, time_step=DAY)
    data.unlink()
    with pytest.raises(UserError, match=r"001.data cannot be read .*copy both"):
        read(folder, time_step=DAY)
    data.write_bytes(numbers)
    lost.write_text("nonsense")
    with pytest.raises(UserError, match=r"001.meta cannot be read .* with dimList, dataprec"):
        read(folder, time_step=DAY)
    lost.write_text(kept)
    for file in folder.glob("S.0000001440*"):
        file.unlink()
    with pytest.raises(UserError, match="T at 3 time steps and S at 2, which differ at step 1440"):
        read(folder, time_step=DAY)
    for file in folder.glob("hFacC*"):
        file.unlink()
    with pytest.raises(
        UserError, match=r"has no hFacC: the grid and its land .*data.ingest.grid_files"
    ):
        read(folder, time_step=DAY)
    with pytest.raises(UserError, match=r"holds no .meta file: expected the folder"):
        read(tmp_path, time_step=DAY)


def test_a_grid_of_another_run_and_names_of_grid_variables(tmp_path, grid):
    folder = write_run(tmp_path / "run", grid)
    (tmp_path / "other").mkdir()
    write_grid(tmp_path / "other", grid.part(slice(1, ROWS)))
    with pytest.raises(UserError, match=r"has \(4, 6, 8\) cells, the grid \(4, 5, 8\)"):
        read(folder, time_step=DAY, grid_files=tmp_path / "other")
    with pytest.raises(UserError, match=r"variables.mask cannot be set"):
        read(folder, variables=Variables(mask="maskC"))


def test_kelvin_is_refused(tmp_path, grid):
    folder = write_run(tmp_path, grid)
    for step, field in zip(STEPS, states(grid)[0], strict=True):
        write_mds(folder, "T", field + 273.15, step=step)
    with pytest.raises(UserError, match=r"in kelvin .*temperature_units: K to convert"):
        read(folder, time_step=DAY)


def _to_archive(folder: Path, config: Path, **changes) -> Path:
    """`halocline ingest` of a run's folder, on the command line."""
    archive = config.with_name("states.zarr")
    content = yaml.safe_load(config.read_text())
    ingest = {
        "reader": "mitgcm-mds",
        "files": [str(folder)],
        "equation_of_state": "jmd95",
        "periodic_x": True,
        "calendar": "360_day",
        "time_step": DAY / 2,
        "split": {"gap_years": 0.0, "train": 0.4, "validation": 0.3},
    }
    content["data"] = {"archive": str(archive), "ingest": ingest | changes}
    config.write_text(yaml.safe_dump(content))
    main(["ingest", str(config)])
    return archive


def test_from_tiles_to_initial_files(tmp_path, grid, tiny_config, capsys):
    """Model, archive, model, on the command line; every number comes back as MITgcm wrote it."""
    folder = write_run(tmp_path / "run", grid, tiles=(2, 2))
    archive = _to_archive(folder, tiny_config)
    printed = capsys.readouterr().out
    assert f"wrote {archive}\n3 states: 1 train, 1 validation, 1 test\n" in printed
    assert "\ngrid: 8 x 6 x 4 cells" in printed
    assert StateArchive.open(archive).has_sea_level
    words = ["export", str(tiny_config), "--states", str(archive), "--member", "2"]
    main([*words, "--format", "mitgcm", "--output", str(tmp_path / "start.bin")])
    for end, expected in zip(("theta", "salt", "eta"), states(grid), strict=True):
        written = np.fromfile(tmp_path / f"start_{end}.bin", ">f4")
        np.testing.assert_array_equal(written, expected[2].ravel())


def test_the_real_world_as_mitgcm_would_have_written_it(shared_data, tmp_path):
    source = shared_data / "mitgcm_global4deg" / "mitgcm_global4deg_k1000.nc"
    output = MitgcmReader(periodic_x=True).open(source)
    state = output.read(slice(0, 1))
    write_grid(tmp_path, output.grid, tiles=(2, 3))
    named = {"T": state.temperature, "S": state.salinity, "Eta": state.sea_level}
    for name, field in named.items():
        write_mds(tmp_path, name, field[0].numpy(), step=36090, tiles=(2, 3))
    again = read(tmp_path, time_step=DAY)
    assert again.grid.digest == output.grid.digest
    np.testing.assert_allclose(again.grid.volume, output.grid.volume, rtol=1e-6)
    np.testing.assert_array_equal(again.read(slice(None)).temperature, state.temperature)
    np.testing.assert_array_equal(again.read(slice(None)).sea_level, state.sea_level)


def write_stream(folder, name, fields, values, *, steps=STEPS):
    """Diagnostics `name` with `fields`, each `step ...`."""
    for row, step in enumerate(steps):
        stacked = np.stack([field[row] for field in values])
        write_mds(folder, name, stacked, step=step, fields=fields)


def test_records_without_names_are_not_left_out(tmp_path, grid):
    folder = write_run(tmp_path, grid)
    t = states(grid)[0]
    write_mds(folder, "T", t.reshape(-1, ROWS, COLUMNS), step=STEPS[0])
    text = _meta([(LEVELS, 1, LEVELS), (ROWS, 1, ROWS), (COLUMNS, 1, COLUMNS)], 3, 720, (), None)
    (folder / f"T.{STEPS[0]:010d}.meta").write_text(text)
    with pytest.raises(UserError, match=r"T.0000000720.data holds 3 records without names"):
        read(folder, time_step=DAY)


def test_of_two_streams_the_one_of_the_grid_is_read(tmp_path, grid):
    folder = write_run(tmp_path, grid)
    t, s, _ = states(grid)
    for name in ("T", "S"):
        for file in folder.glob(f"{name}.0*"):
            file.unlink()
    write_stream(folder, "a2D", ("THETA", "SALT"), (t[:, 0], s[:, 0]))
    write_stream(folder, "b3D", ("THETA", "SALT"), (t, s))
    output = read(folder, time_step=DAY)
    np.testing.assert_array_equal(output.read(slice(None)).salinity, s)


def test_two_streams_of_the_same_cells(tmp_path, grid):
    folder = write_run(tmp_path, grid)
    t, s, eta = states(grid)
    write_stream(folder, "mean", ("THETA", "SALT"), (t + 1, s), steps=(360, 1080, 1800))
    write_stream(folder, "level", ("ETAN",), (eta,), steps=STEPS)
    with pytest.raises(UserError, match=r"has T \(3 times\) and mean/THETA \(3 times\), which"):
        read(folder, time_step=DAY)
    named = read(folder, time_step=DAY, variables=Variables(temperature="T", sea_level="Eta"))
    np.testing.assert_array_equal(named.read(slice(None)).temperature, t)
    mean = Variables(temperature="mean/THETA", sea_level="none")
    output = read(folder, time_step=DAY, variables=mean)
    assert output.sea_level is None
    np.testing.assert_array_equal(output.read(slice(None)).salinity, s)
    with pytest.raises(UserError, match=r"no temperature daily/THETA"):
        read(folder, time_step=DAY, variables=Variables(temperature="daily/THETA"))
    with pytest.raises(UserError, match=r"which differ at step .*sea_level: none"):
        named = Variables(temperature="mean/THETA", sea_level="Eta")
        read(folder, time_step=DAY, variables=named)


@pytest.fixture
def coast(grid):
    """The grid with land in all of its first tile of 2 x 2."""
    wet = grid.wet.copy()
    wet[:, :3, :4] = False
    return replace(grid, wet=wet, thickness=np.where(wet, grid.thickness, 0))


def without_first_tile(folder, pattern):
    for file in folder.glob(f"{pattern}.001.001.*"):
        file.unlink()


def test_blank_tiles_are_land(tmp_path, coast):
    whole = read(write_run(tmp_path / "whole", coast), time_step=DAY)
    folder = write_run(tmp_path / "tiles", coast, tiles=(2, 2))
    without_first_tile(folder, "*")
    output = read(folder, time_step=DAY)
    assert output.grid.digest == whole.grid.digest
    for name in ("longitude", "latitude", "thickness"):
        np.testing.assert_array_equal(getattr(output.grid, name), getattr(whole.grid, name))
    for mine, theirs in zip(
        (output.read(slice(None)).temperature, output.read(slice(None)).sea_level),
        (whole.read(slice(None)).temperature, whole.read(slice(None)).sea_level),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_lost_tiles_are_not_land(tmp_path, grid, coast):
    folder = write_run(tmp_path / "coast", coast, tiles=(2, 2))
    without_first_tile(folder, "hFacC")
    with pytest.raises(UserError, match=r"in 12 of 48 columns where the grid .hFacC. has no"):
        read(folder, time_step=DAY)
    folder = write_run(tmp_path / "water", grid, tiles=(2, 2))
    without_first_tile(folder, "S.0000001440")
    with pytest.raises(UserError, match=r"3 tiles of S, without 8 of 48 columns .* have water"):
        read(folder, time_step=DAY)


def test_descriptions_of_old_versions(tmp_path, grid):
    expected = read(write_run(tmp_path, grid), time_step=DAY).read(slice(None))
    for file in tmp_path.glob("*.meta"):
        file.write_text(file.read_text().replace("dataprec", "format"))
    found = read(tmp_path, time_step=DAY).read(slice(None))
    np.testing.assert_array_equal(found.temperature, expected.temperature)
