"""The memory of sampling against the number of members."""

from __future__ import annotations

import json
import sys

import pytest
from matplotlib.image import imread

from configs.stages import sample
from data.archive.format import UNUSED
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from halocline import main
from studies.cost.members import Trace, drawn_again
from studies.cost.tables import members_table

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the memory of a process")


def _study(*words: object) -> None:
    main(["study", "cost", "members", *map(str, words)])


@pytest.mark.slow
@LINUX
def test_the_command_measures_and_draws(trained, tmp_path, capsys):
    words = [trained.model_folder, "--members", 10, "--batch-size", 4, "--unguided", "--steps", 3]
    places = ["--folder", tmp_path / "new", "--figure", tmp_path / "members.png"]
    _study(*words, *places, "--output", tmp_path / "members.json")
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "members.json").read_text()) == printed
    traces = printed["traces"]
    assert traces["sampling unguided"]["members"] == [4, 8, 10]
    assert traces["writing"]["members"] == traces["adjusting"]["members"] == [*range(1, 11)]
    archive = StateArchive.open(tmp_path / "new" / "states.zarr")
    assert len(archive) == 10
    assert json.loads(archive.attributes["sampling"])["sampling"]["steps"] == 3
    for work in printed["work"].values():
        assert 50 < work["resident_at_the_end_MiB"] <= work["peak_MiB"] <= printed["peak_MiB"]
    assert [*printed["drawn_again"]] == ["member 0", "member 4", "member 9"]
    for found in printed["drawn_again"].values():
        assert found["batch_temperature_K"] == found["batch_salinity"] == 0
        assert found["alone_temperature_K"] < 1e-4
    assert imread(tmp_path / "members.png").std() > 0
    assert members_table(printed, None).count("\n") == 5
    assert members_table(printed, "again").count("\n") == 5


@pytest.mark.slow
@LINUX
def test_another_state_than_the_members_own_is_noticed(trained, tmp_path):
    run = trained.with_members(3)
    other = run.settings.sampling.model_copy(update={"seed": 1})
    sample(run.with_settings(sampling=other), output=tmp_path / "states.zarr")
    found = drawn_again(run, tmp_path / "states.zarr", [1])["member 1"]
    assert found["batch_temperature_K"] > 0.01
    assert found["alone_salinity"] > 0.001


def test_growth_after_the_first_tenth_is_told_from_a_start():
    members = [*range(10, 1001, 10)]
    flat = [500.0 + 100 * min(number / 100, 1) for number in members]
    leak = [value + 0.02 * number for value, number in zip(flat, members, strict=True)]
    seconds = [0.5 * number for number in members]
    still = Trace(members, flat, flat, seconds).growth()
    growing = Trace(members, leak, leak, seconds).growth()
    assert still["slope_MiB_per_1000_members"] == pytest.approx(0, abs=1e-6)
    assert still["rise_MiB"] == still["peak_rise_MiB"] == 0
    assert growing["slope_MiB_per_1000_members"] == pytest.approx(20)
    assert growing["rise_MiB"] == growing["peak_rise_MiB"] == pytest.approx(18)
    assert growing["seconds_per_member"] == pytest.approx(0.5)


def test_a_long_trace_is_thinned_but_keeps_its_ends():
    trace = Trace(*([*range(5000)] for _ in range(4)))
    thin = trace.thinned(100)
    assert {len(column) for column in thin.values()} == {100}
    assert (thin["members"][0], thin["members"][-1]) == (0, 4999)


@LINUX
def test_writing_many_states_holds_no_more_than_few(tiny_grid, tiny_states, tmp_path):
    """100 states of 0.3 MB: 31 MiB, if they stayed in memory."""
    grid = tiny_grid(rows=90, columns=90)
    state = tiny_states(grid, batch=1, seed=0)
    trace = Trace()
    with ArchiveWriter(tmp_path / "a.zarr", grid=grid, equation_of_state="veros-vallis") as writer:
        for number in range(100):
            writer.append(state, member=number, time=0.0, split=UNUSED)
            trace.note(number + 1, seconds=0.0)
    assert trace.growth()["rise_MiB"] < 10


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--members", 9], "9 members in batches of 2 do not show how memory grows"),
        (["--members", 30, "--batch-size", 16], "give --members 32 or more"),
        (["--steps", 0], "--steps 0 is too few"),
        (["--batch-size", -1], "--batch-size -1 is too few"),
    ],
)
def test_numbers_that_measure_nothing_are_refused(tiny_config, words, sentence):
    with pytest.raises(SystemExit, match=sentence):
        _study(tiny_config, *words)


@LINUX
def test_files_of_another_measurement_are_refused(tiny_config, tmp_path):
    (tmp_path / "states.zarr").touch()
    with pytest.raises(SystemExit, match=f"{tmp_path} is not empty"):
        _study(tiny_config, "--folder", tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="holds no model"):
        _study(tmp_path)
