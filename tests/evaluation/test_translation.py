"""The command that draws states from a state of another grid, and its report."""

from __future__ import annotations

import json

import pytest

from configs.foreign import foreign_archive
from configs.translation import Translation
from data.archive.reader import StateArchive
from data.errors import UserError
from evaluation import commands
from evaluation.translation import ADJUSTED, INTERPOLATED, TRANSLATED, translate


@pytest.mark.slow
@pytest.mark.parametrize("how", ["means", "noise"])
def test_states_a_report_and_a_summary_are_written(conditional, coarse, tmp_path, how, capsys):
    output = tmp_path / "out"
    translation = Translation.of(conditional.with_members(2), coarse, state=0, how=how)
    report = translate(translation, output=output, at=["gm=800", "season=0", "age=inf"])
    text, summary = report.read_text(), json.loads((output / "summary.json").read_text())
    rows = summary["rows"]
    assert len(StateArchive.open(output / "states.zarr")) == 2
    assert len(StateArchive.open(output / "interpolated.zarr")) == 1
    assert rows[ADJUSTED]["density_error_percent"] == 0
    assert rows[TRANSLATED]["spread_K"] > 0 and rows[INTERPOLATED]["spread_K"] is None
    assert summary["lost"]["filled_percent"] < 20
    assert ("noise" in summary["scales"][0]) if how == "noise" else summary["noise"] is None
    printed = capsys.readouterr().out
    assert ("chains begin with a noise of" in printed) == (how == "noise")
    figures = {path.stem for path in (output / "figures").iterdir()}
    assert figures == {"maps", "sections"} | ({"noise"} if how == "noise" else set())
    assert "large scales" in text and "is land in the model" in text.replace("\n", " ")


@pytest.mark.slow
def test_a_second_call_draws_nothing(conditional, coarse, tmp_path):
    options = {"output": tmp_path / "out", "at": ["gm=800", "season=0", "age=inf"]}
    written = []
    for _ in range(2):
        translate(Translation.of(conditional.with_members(2), coarse, state=0), **options)
        written.append((tmp_path / "out" / "states.zarr" / "zarr.json").stat().st_mtime_ns)
    assert written[0] == written[1]


@pytest.mark.slow
def test_another_source_is_not_mistaken_for_the_former(conditional, coarse, tmp_path):
    """In one folder, the states and the interpolated state are those of the last source."""
    options = {"output": tmp_path / "out", "at": ["gm=800", "season=0", "age=inf"]}
    found = []
    for state in (0, 1):
        translation = Translation.of(conditional.with_members(2), coarse, state=state)
        translate(translation, **options)
        paths = (tmp_path / "out" / f"{name}.zarr" for name in ("interpolated", "states"))
        found.append([StateArchive.open(path).read([0]).temperature for path in paths])
    for first, second in zip(*found, strict=True):
        assert (first - second).abs().max() > 0.1


def test_a_source_in_the_folder_that_is_written_is_refused(tiny_run, tmp_path):
    with pytest.raises(UserError, match="give another --output"):
        commands.translate(
            tiny_run(), source=[f"{tmp_path}/out/states.zarr"], output=tmp_path / "out"
        )


def test_what_others_have_written_is_not_replaced(tiny_archive, tmp_path):
    other = tmp_path / "source.zarr"
    other.mkdir()
    with pytest.raises(UserError, match="not made by this command"):
        foreign_archive([str(tiny_archive / "zarr.json")], output=other)
    assert other.exists()


@pytest.mark.slow
def test_a_noise_of_means_is_refused(conditional, coarse, tmp_path):
    with pytest.raises(UserError, match="give --by noise"):
        translate(Translation.of(conditional, coarse), output=tmp_path / "out", noise=0.5)
    assert not (tmp_path / "out").exists()


def test_model_output_is_read_and_archives_are_opened(shared_data, tiny_archive, tmp_path):
    assert len(foreign_archive([str(tiny_archive)], output=tmp_path / "none.zarr"))
    assert not (tmp_path / "none.zarr").exists()
    file = shared_data / "nemo_dino4deg" / "nemo_dino_4deg.nc"
    mesh = shared_data / "nemo_dino4deg" / "mesh_mask.nc"
    if not file.exists():
        pytest.skip("the NEMO sample is not here")
    output = tmp_path / "source.zarr"
    settings = [f"mesh_mask={mesh}", "equation_of_state=nemo-eos80"]
    found = foreign_archive([str(file)], settings=settings, output=output)
    assert found.path == output and len(found) > 0
    written = (output / "zarr.json").stat().st_mtime_ns
    foreign_archive([str(file)], settings=settings, output=output)
    assert (output / "zarr.json").stat().st_mtime_ns == written
    copy = tmp_path / "copy.nc"
    copy.write_bytes(file.read_bytes())
    foreign_archive([str(copy)], settings=settings, output=output)
    assert (output / "zarr.json").stat().st_mtime_ns > written
