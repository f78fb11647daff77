"""The state archive: what goes in comes out, and a damaged store says so."""

from __future__ import annotations

import errno
import pickle

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from data.archive import writer as archive_writer
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.state import State


def edit(path):
    """The store at `path`, open for damage; stale consolidated metadata is dropped."""
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    return group


def spoil(path, change):
    group = edit(path)
    change(group)
    archive_writer.consolidate(group.store)


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_states_come_back_bit_for_bit(name, write_archive, small_grid, random_state):
    archive = StateArchive.open(write_archive(name))
    expected = State.cat([random_state(small_grid, seed=seed) for seed in (7, 0, 7)])
    torch.testing.assert_close(
        archive.read([7, 0, -3]).to_channels(), expected.to_channels(), rtol=0, atol=0
    )
    archive.verify()
    assert len(archive) == 10
    assert archive.grid.digest == small_grid.digest
    assert archive.grid.periodic_x
    assert archive.equation_of_state == "jmd95"
    np.testing.assert_array_equal(archive.grid.thickness, small_grid.thickness)
    np.testing.assert_array_equal(archive.grid.longitude, small_grid.longitude)
    np.testing.assert_array_equal(archive.indices("validation"), [2, 7])
    np.testing.assert_array_equal(archive.parameters["gm_diffusivity"][[0, 9]], [1000, 2000])
    assert list(archive.member) == [0] * 5 + [1] * 5


def test_rounding_keeps_states_within_half_a_step(write_archive, small_grid, random_state):
    archive = StateArchive.open(write_archive(rounding=True))
    stored, exact = archive.read([3]), random_state(small_grid, seed=3)
    assert (stored.temperature - exact.temperature).abs().max() <= 0.5 / 512 + 1e-6
    assert (stored.salinity - exact.salinity).abs().max() <= 0.5 / 4096 + 1e-5
    assert torch.equal(stored.temperature * 512, (stored.temperature * 512).round())
    archive.verify()


def test_archive_without_sea_level(write_archive):
    archive = StateArchive.open(write_archive(sea_level=False))
    assert not archive.has_sea_level
    assert archive.read([0]).sea_level is None
    archive.verify()


def test_pickled_archive_reads_the_same(write_archive):
    archive = StateArchive.open(write_archive())
    again = pickle.loads(pickle.dumps(archive))  # noqa: S301  (how spawned workers get it)
    assert not {"_group", "_arrays"} & archive.__getstate__().keys()
    assert torch.equal(again.read([4]).temperature, archive.read([4]).temperature)


def test_plain_xarray_opens_it_as_cf(write_archive, small_grid):
    dataset = xr.open_zarr(write_archive(), chunks=None)
    assert dataset.thetao.dims == ("sample", "depth", "y", "x")
    assert dataset.thetao.attrs["units"] == "degC"
    assert dataset.thetao.attrs["standard_name"] == "sea_water_potential_temperature"
    assert dataset.depth.attrs["positive"] == "down"
    assert dataset.lon.attrs["units"] == "degrees_east"
    assert "lat" in dataset.thetao.coords
    assert dataset.time.dtype == np.float64  # years stay numbers
    np.testing.assert_array_equal(np.isnan(dataset.thetao[0]), ~small_grid.wet)


def test_existing_archive_is_not_overwritten(write_archive):
    write_archive()
    with pytest.raises(UserError, match=r"exists already"):
        write_archive()


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_interruption_leaves_nothing(name, interruption, tmp_path, small_grid, random_state):
    state = random_state(small_grid, seed=0, sea_level=False)

    def interrupted():
        with ArchiveWriter(tmp_path / name, grid=small_grid, equation_of_state="jmd95") as writer:
            writer.append(state, member=0, time=0.0, split=0)
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["put_in_place", "consolidate", "_zip_directory"])
def test_full_disk_leaves_nothing(stage, tmp_path, small_grid, random_state, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"data.archive.writer.{stage}", full)
    writer = ArchiveWriter(tmp_path / "a.zarr.zip", grid=small_grid, equation_of_state="jmd95")
    state = random_state(small_grid, seed=0, sea_level=False)
    sentence = r"could not be written .No space left on device.*free space"
    with pytest.raises(UserError, match=sentence), writer:
        writer.append(state, member=0, time=0.0, split=0)
    assert list(tmp_path.iterdir()) == []


def test_no_states_is_an_error(tmp_path, small_grid):
    writer = ArchiveWriter(tmp_path / "a.zarr", grid=small_grid, equation_of_state="jmd95")
    with pytest.raises(UserError, match=r"no states were found"), writer:
        pass
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_nan_in_wet_cells(tmp_path, small_grid, random_state):
    state = random_state(small_grid, seed=0, batch=2)
    state.salinity[1, 0, 2, :3] = torch.nan
    writer = ArchiveWriter(
        tmp_path / "a.zarr", grid=small_grid, equation_of_state="jmd95", sea_level=True
    )
    with pytest.raises(UserError, match=r"state 1 of .* has NaN in 3 wet cells of so"), writer:
        writer.append(state, member=0, time=0.0, split=0)


def test_nan_on_land_is_welcome(tmp_path, small_grid, random_state):
    wet = torch.from_numpy(small_grid.wet)
    state = random_state(small_grid, seed=0, sea_level=False)
    blank = state.map(lambda field: torch.where(wet, field, torch.nan))
    with ArchiveWriter(tmp_path / "a.zarr", grid=small_grid, equation_of_state="jmd95") as writer:
        writer.append(blank, member=0, time=0.0, split=0)
    read = StateArchive.open(tmp_path / "a.zarr").read([0])
    assert torch.equal(read.temperature, state.temperature)


def test_truncated_zip(write_archive):
    path = write_archive("a.zarr.zip")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"not a readable zarr v3 store.*truncated, corrupt"):
        StateArchive.open(path)


def test_something_else_at_the_path(tmp_path):
    (tmp_path / "text.zarr").write_text("hello")
    (tmp_path / "empty.zarr").mkdir()
    for name in ("text.zarr", "empty.zarr"):
        with pytest.raises(UserError, match=r"not a readable zarr v3 store"):
            StateArchive.open(tmp_path / name)
    with pytest.raises(UserError, match=r"does not exist"):
        StateArchive.open(tmp_path / "absent.zarr")


def test_damaged_chunk(write_archive):
    path = write_archive()
    archive = StateArchive.open(path)
    (path / "so" / "c" / "3" / "0" / "0" / "0").write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"so of .* cannot be read at states \[3\].*corrupt"):
        archive.verify()


def test_lost_chunk(write_archive):
    path = write_archive()
    (path / "thetao" / "c" / "3" / "0" / "0" / "0").unlink()
    with pytest.raises(UserError, match=r"state 3 of .* has NaN in 98 wet cells of thetao"):
        StateArchive.open(path).verify()


def test_changed_content_fails_the_checksum(write_archive):
    path = write_archive()
    array = edit(path)["thetao"]
    array[5, 0, 2, 2] = array[5, 0, 2, 2] + 0.25
    archive = StateArchive.open(path)
    with pytest.raises(UserError, match=r"do not match their checksum"):
        archive.verify()


def test_nan_in_the_first_state(write_archive):
    path = write_archive()
    edit(path)["thetao"][0, 0, 1, 1] = np.nan
    with pytest.raises(UserError, match=r"state 0 of .* has NaN in 1 wet cells of thetao"):
        StateArchive.open(path)


def test_missing_variable(write_archive):
    path = write_archive()
    spoil(path, lambda group: group.__delitem__("so"))
    with pytest.raises(UserError, match=r"lacks the variable so; it has cell_area, depth"):
        StateArchive.open(path)


def test_missing_equation_of_state(write_archive):
    path = write_archive()
    spoil(path, lambda group: group.attrs.__delitem__("equation_of_state"))
    with pytest.raises(UserError, match=r"no attribute equation_of_state"):
        StateArchive.open(path)


def test_kelvin_by_units_and_by_value(write_archive):
    path = write_archive()
    warm = edit(path)["thetao"]
    warm[0] = warm[0] + 273.15
    with pytest.raises(UserError, match=r"in kelvin .a median of 28.*subtract 273.15"):
        StateArchive.open(path)
    spoil(path, lambda group: group["thetao"].attrs.update({"units": "K"}))
    with pytest.raises(UserError, match=r'in kelvin .units "K"'):
        StateArchive.open(path)


def test_depth_upward_or_reversed(write_archive):
    path = write_archive()
    depth = edit(path)["depth"]
    depth[...] = -depth[...]
    with pytest.raises(UserError, match=r"positive upward .-10 to -1000 m"):
        StateArchive.open(path)
    depth[...] = -depth[...][::-1]
    with pytest.raises(UserError, match=r"does not increase from level to level"):
        StateArchive.open(path)


def test_wet_mask_of_another_shape(write_archive):
    path = write_archive()
    spoil(path, lambda group: group["wet"].resize((4, 6, 4)))
    with pytest.raises(UserError, match=r"wet of .* has shape \(4, 6, 4\): expected \(4, 6, 5\)"):
        StateArchive.open(path)


def test_illegal_split_value(write_archive):
    path = write_archive()
    edit(path)["split"][1] = 7
    with pytest.raises(UserError, match=r"split of .* expected -1, 0, 1 and 2"):
        StateArchive.open(path)


def test_a_split_without_states(tmp_path, small_grid, random_state):
    with ArchiveWriter(tmp_path / "a.zarr", grid=small_grid, equation_of_state="jmd95") as writer:
        state = random_state(small_grid, seed=0, sea_level=False)
        writer.append(state, member=0, time=0.0, split=0)
    with pytest.raises(UserError, match=r"has no test states"):
        StateArchive.open(tmp_path / "a.zarr").indices("test")


def test_wet_cells_without_extent(write_archive):
    path = write_archive()
    edit(path)["thickness"][1, 1, :2] = [0.0, np.nan]
    with pytest.raises(UserError, match=r"thickness of .* is not above 0 in 2 wet cells"):
        StateArchive.open(path)
    edit(path)["thickness"][1, 1, :2] = 60.0
    edit(path)["cell_area"][1, 1] = -1.0
    with pytest.raises(UserError, match=r"cell_area of .* is not above 0 in 4 wet cells"):
        StateArchive.open(path)


def test_places_of_another_shape(write_archive):
    path = write_archive()
    spoil(path, lambda group: group["lon"].resize((4,)))
    with pytest.raises(UserError, match=r"lon and lat of .* have shapes \(4,\) and \(6,\)"):
        StateArchive.open(path)


def test_the_digest_of_a_former_archive_changes_with_all_that_products_depend_on(write_archive):
    path = write_archive()
    spoil(path, lambda group: group.attrs.__delitem__("description_sha256"))
    digests = [StateArchive.open(path).digest, StateArchive.open(path).digest]
    assert digests[0] == digests[1]
    spoil(path, lambda group: group["split"].__setitem__(3, 0))
    digests.append(StateArchive.open(path).digest)
    spoil(path, lambda group: group["thickness"].__setitem__((0, 1, 1), 21.0))
    digests.append(StateArchive.open(path).digest)
    spoil(path, lambda group: group["depth"].__setitem__(0, 11.0))
    digests.append(StateArchive.open(path).digest)
    spoil(path, lambda group: group.attrs.update({"equation_of_state": "linear"}))
    digests.append(StateArchive.open(path).digest)
    spoil(path, lambda group: group.attrs.update({"content_sha256": "0"}))
    digests.append(StateArchive.open(path).digest)
    assert len(set(digests[1:])) == 6
    assert all(len(digest) == 16 for digest in digests)
