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
from halocline import main
from tests.ocean_output import DEPTH, WET, cmip, mitgcm, mom6, nemo, pop, veros

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
