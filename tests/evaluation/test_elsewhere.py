"""A trained model judged with the states of another archive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from configs.elsewhere import RunElsewhere
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.state import State
from evaluation.climates import climates
from evaluation.rows import evaluation_context
from integration.commands import evaluate


@pytest.fixture
def write_other(tiny_grid, tiny_states, tmp_path) -> Callable[..., Path]:
    """Writes an archive of test states of one member for each value of gm."""

    def write(*gms: float, equation_of_state: str = "veros-vallis", rows: int = 12, **options):
        grid = tiny_grid(rows, 8)
        states = tiny_states(grid, batch=4 * len(gms), seed=7)
        wet = torch.from_numpy(grid.wet)
        path = tmp_path / "other.zarr"
        with ArchiveWriter(
            path, grid=grid, equation_of_state=equation_of_state, **options
        ) as writer:
            for index in range(len(states)):
                member, number = divmod(index, 4)
                one = states.map(lambda field, i=index: field[i : i + 1])
                season = number / 4
                writer.append(
                    State(one.temperature + 6 * wet, one.salinity),
                    member=member,
                    time=90.0 + number,
                    split=2,
                    parameters={"gm": gms[member], "season": season, "age": 90.0 + number},
                )
        return path

    return write


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_model_is_drawn_at_the_other_conditions_and_judged_in_a_folder_of_its_own(
    conditional, write_other, tmp_path, capsys
):
    conditional.verify_archive()  # notes so in the run directory, as any evaluation does
    before = files(conditional.directory)
    other = write_other(900.0, 3000.0)
    evaluate(conditional, archive=other, output=tmp_path / "judged")
    assert files(conditional.directory) == before
    metrics = json.loads((tmp_path / "judged" / "metrics.json").read_text())
    assert metrics["rows"]["truth"]["states"] == 8
    assert metrics["rows"]["training"]["states"] == 8  # of the model's own archive
    assert metrics["judged_with"]["archive"] == "other.zarr"
    assert metrics["judged_with"]["members"] == [0, 1]
    drawn = StateArchive.open(tmp_path / "judged" / "samples" / "guided_adjusted.zarr")
    assert set(drawn.parameters["gm"].tolist()) == {900.0, 3000.0}
    beyond = int((drawn.parameters["gm"] > 1000.0).sum())
    assert metrics["judged_with"]["extrapolated"] == beyond > 0
    judged = RunElsewhere(conditional.settings, other, folder=tmp_path / "judged")
    known = climates(judged, evaluation_context(conditional.archive))
    assert known["truth"].tolist() == known["autoencoded"].tolist() == 4 * [0] + 4 * [1]
    assert known["truth_halves"].tolist() == [0, 0, 1, 1]
    points = drawn.parameters["gm"][known["guided_adjusted"] == 0]
    assert set(points.tolist()) == {900.0}
    assert {"eof_gaussian", "training_mean"}.isdisjoint(known)
    names = {check["name"]: check["value"] for check in metrics["verdict"]["checks"]}
    assert (names["training states"], names["test states"]) == (60, 8)
    assert metrics["autoencoder"]["states"] == 8
    report = (tmp_path / "judged" / "report.html").read_text()
    assert "judged with other.zarr" in report and "beyond the range" in report
    assert "to start a model" in capsys.readouterr().out


def test_another_grid_equation_or_unit_is_refused_in_a_sentence(trained, write_other):
    def refused(*words: str, **options: object) -> None:
        path = write_other(1.0, **options)
        with pytest.raises(UserError) as error:
            evaluate(trained, archive=path)
        assert all(word in str(error.value) for word in (str(path), *words))
        assert "\n" not in str(error.value)
        for file in sorted(path.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        path.rmdir()

    refused("11 x 8 cells", "12, 8", rows=11)
    refused("equation of state", "nemo-seos", "veros-vallis", equation_of_state="nemo-seos")
    refused("salinity units", "g/kg", "1e-3", salinity_units="g/kg")
    assert not (trained.directory / "evaluations").exists()


def test_training_states_and_the_run_directory_are_refused(trained, write_other):
    archive = trained.settings.data.archive
    with pytest.raises(UserError, match="the archive that the model was trained on"):
        _ = RunElsewhere(trained.settings, archive, split="all").held_out
    found = RunElsewhere(trained.settings, archive, split="validation")
    assert len(found.held_out.indices) == 4
    assert found.results == trained.directory / "evaluations" / "tiny_validation"
    assert found.with_settings(name="x").results == found.results
    with pytest.raises(UserError, match="the run's own directory"):
        RunElsewhere(trained.settings, write_other(1.0), folder=trained.directory)


def test_split_and_output_need_an_archive(tiny_run):
    with pytest.raises(UserError, match="need --archive"):
        evaluate(tiny_run(), split="all")
