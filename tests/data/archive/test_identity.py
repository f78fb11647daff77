"""An archive is what its content says: a change is found, whatever the attributes claim."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from data.archive.format import consolidate
from data.archive.identity import CONTENT, DESCRIPTION
from data.archive.reader import StateArchive
from data.archive.verification import verify_once
from data.errors import UserError

EMBEDDED = Path(__file__).resolve().parents[3] / "data" / "archives" / "ensemble.zarr.zip"


def change(path: Path, edit) -> None:
    """Edit the store at `path` as another program would."""
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    edit(group)
    consolidate(group.store)


def add(name: str, amount: float):
    def edit(group) -> None:
        group[name][...] = group[name][...] + np.array(amount, dtype=group[name].dtype)

    return edit


def first_of(name: str, value: float):
    return lambda group: group[name].__setitem__((0,) * group[name].ndim, value)


@pytest.mark.parametrize(
    "edit",
    [
        add("lon", 80.0),
        add("lat", 1e-3),
        add("cell_area", 1e8),
        add("member", 1),
        add("time", 0.5),
        add("gm_diffusivity", 1.0),
        first_of("split", 1),
        first_of("depth", 11.0),
        lambda group: group.attrs.update({"equation_of_state": "linear"}),
        lambda group: group.attrs.update({"periodic_x": False}),
        lambda group: group["so"].attrs.update({"units": "g/kg"}),
    ],
)
def test_a_change_of_what_describes_the_states_is_found_when_opened(write_archive, edit):
    path = write_archive()
    before = StateArchive.open(path).digest
    change(path, edit)
    with pytest.raises(UserError, match=f"was changed: its grid .* attribute {DESCRIPTION}"):
        StateArchive.open(path)
    change(path, lambda group: group.attrs.__delitem__(DESCRIPTION))
    change(path, lambda group: group.attrs.__delitem__(CONTENT))
    assert StateArchive.open(path).digest != before, "the change is admitted"


def test_a_copy_by_xarray_is_the_same_archive_until_its_states_change(write_archive, tmp_path):
    path, copy = write_archive(), tmp_path / "copy.zarr"
    dataset = xr.open_zarr(path).load()
    dataset.drop_encoding().to_zarr(copy, zarr_format=3)
    archive = StateArchive.open(copy)
    archive.verify()
    assert archive.digest == StateArchive.open(path).digest
    shutil.rmtree(copy)
    dataset["thetao"] = dataset.thetao + 5.0
    dataset.drop_encoding().to_zarr(copy, zarr_format=3)
    with pytest.raises(UserError, match="its states do not match their checksum"):
        StateArchive.open(copy).verify()


def test_without_a_checksum_the_digest_comes_from_the_states(write_archive):
    path = write_archive()
    change(path, lambda group: group.attrs.__delitem__(CONTENT))
    before = StateArchive.open(path).digest
    change(path, add("thetao", 0.01))
    assert StateArchive.open(path).digest != before


def test_an_archive_of_version_0_1_0_keeps_the_digest_that_products_have_recorded(write_archive):
    path = write_archive()
    change(path, lambda group: group.attrs.__delitem__(DESCRIPTION))
    change(path, lambda group: group.attrs.__delitem__(CONTENT))
    assert StateArchive.open(path).digest == "f2880937136c2823"


def test_the_embedded_archive_is_whole():
    archive = StateArchive.open(EMBEDDED)
    archive.verify()
    assert {DESCRIPTION, CONTENT} <= archive.attributes.keys()
    assert archive.digest == "baf3e1cc25a9a813", "trained models have recorded it"
    assert archive.units.keys() == archive.parameters.keys()


@pytest.fixture
def count_passes(monkeypatch):
    """The archives that were verified by reading all their states."""
    passes, verify = [], StateArchive.verify

    def counted(archive: StateArchive) -> None:
        passes.append(archive.path)
        verify(archive)

    monkeypatch.setattr(StateArchive, "verify", counted)
    return passes


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_the_same_files_are_verified_once(write_archive, tmp_path, count_passes, name):
    path, note = write_archive(name), tmp_path / "run" / "archive.json"
    for _ in range(2):
        verify_once(StateArchive.open(path), note)
    assert len(count_passes) == 1
    for file in [path, *path.rglob("0")]:
        file.touch()
    verify_once(StateArchive.open(path), note)
    assert len(count_passes) == 2
    note.write_text("{")
    verify_once(StateArchive.open(path), note)
    assert len(count_passes) == 3


def test_other_places_of_an_archive_that_declares_none_are_found_by_the_note(
    write_archive, tmp_path
):
    path, note = write_archive(), tmp_path / "archive.json"
    change(path, lambda group: group.attrs.__delitem__(DESCRIPTION))
    verify_once(StateArchive.open(path), note)
    change(path, add("lon", 80.0))
    with pytest.raises(UserError, match="areas, places, members, times or parameters"):
        verify_once(StateArchive.open(path), note)


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_a_flipped_bit_is_found_or_without_effect(write_archive, flip_bits, name):
    path = write_archive(name)
    sound = StateArchive.open(path)
    expected, outcomes = (sound.digest, sound.read(range(10)).to_channels()), []
    for file in flip_bits(path, times=60):
        outcomes.append(found := _digest_and_states(path))
        if found is not None:
            assert found[0] == expected[0], file
            assert torch.equal(found[1], expected[1]), file
    assert outcomes.count(None) >= 20


def test_a_flipped_bit_in_a_chunk_is_found_by_reading_alone(write_archive, flip_bits):
    path = write_archive()
    archive = StateArchive.open(path)
    for _ in flip_bits(path / "thetao" / "c" / "3", times=40):
        with pytest.raises(UserError, match=r"cannot be read at states .3. .* is corrupt"):
            archive.read([3])
    archive.read([3])


def _digest_and_states(path: Path) -> tuple[str, torch.Tensor] | None:
    """What a sound archive holds; None if it is refused."""
    try:
        archive = StateArchive.open(path)
        archive.verify()
        return archive.digest, archive.read(range(10)).to_channels()
    except UserError:
        return None
