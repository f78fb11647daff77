"""What compression of archives costs, and the levels that archives are written with."""

from __future__ import annotations

import json

import pytest
import zarr

from data.archive.format import FAST, SMALL
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from halocline import main
from studies.cost.writing import LEVELS, compression_cost, fields_of


def test_the_command_prints_times_and_bytes_of_each_level(tiny_archive, tmp_path, capsys):
    path = tmp_path / "writing.json"
    words = [str(tiny_archive), "--states", "2", "--output", str(path)]
    main(["study", "cost", "writing", *words])
    printed = json.loads(capsys.readouterr().out)
    assert printed["fields"] == 4 and printed["bytes_uncompressed"] == 4 * 5 * 12 * 8
    assert [*printed["levels"]] == [str(level) for level in LEVELS]
    assert json.loads(path.read_text()) == printed


def test_fields_are_measured_as_they_are_stored(tiny_archive):
    archive = StateArchive.open(tiny_archive)
    stored = zarr.open_group(tiny_archive, mode="r")["thetao"]
    (field, _) = fields_of(archive, 1)
    assert (field[archive.grid.wet] == stored[0][archive.grid.wet]).all()
    assert compression_cost([field], levels=[1])["1"]["bytes"] < field.nbytes


@pytest.mark.parametrize(("options", "level"), [({}, FAST), ({"compression": SMALL}, SMALL)])
def test_archives_are_written_fast_unless_they_shall_be_small(
    tiny_grid, tiny_states, tmp_path, options, level
):
    grid, path = tiny_grid(), tmp_path / "one.zarr"
    with ArchiveWriter(path, grid=grid, equation_of_state="veros-vallis", **options) as writer:
        writer.append(tiny_states(grid, batch=1, seed=0), member=0, time=0.0, split=2)
    blosc, _ = zarr.open_group(path, mode="r")["thetao"].metadata.codecs[1:]
    assert blosc.clevel == level
