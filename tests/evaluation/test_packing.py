"""Release folders: small, complete, without places, and honest about the verdict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import xarray as xr
import yaml

from configs.found import run_at
from configs.verification import WHOLE, outcome
from data.archive.reader import StateArchive
from data.errors import UserError
from evaluation.model_card import Statements
from evaluation.packing import Size, pack, size_of
from evaluation.yardsticks import LEADING
from halocline import main
from integration.commands import repeat_verdict
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline

REASON = "Mixed layer, mean: 38 m (allowed: 80 to 120 m)."


def judged(trained, folder: Path, *, fit: bool = True, weights: str | None = None) -> Path:
    """A copy of a trained run with an evaluation by hand."""
    shutil.copytree(trained.directory, folder)
    values = dict.fromkeys(LEADING, 1.25)
    metrics = {
        "verdict": {
            "fit": fit,
            "reasons": ["All 20 checks passed." if fit else REASON],
            "checks": [{"name": "training states", "value": 16}],
            "weights": weights or trained.weights,
        },
        "rows": {row: values for row in ("truth", "training", "guided_adjusted")},
        "integration": None,
        "provenance": {"command": f"halocline run {folder / 'tiny.yaml'}", "place": str(folder)},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def packed(trained, tmp_path: Path, **options) -> Path:
    """A release, after the run that it was made from is gone."""
    run = judged(trained, tmp_path / "run")
    pack(run_at(run), output=tmp_path / "made", statements=Statements(), **options)
    shutil.rmtree(run)
    return (tmp_path / "made").rename(tmp_path / "release")


def header(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def drawn(pipeline) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.draw(generators=[member_generator(0, k) for k in range(2)]).state.temperature


def test_a_release_stands_alone_and_is_half_as_large(trained, tmp_path):
    folder = packed(trained, tmp_path, size=Size())
    assert outcome(folder) == WHOLE
    of_unet = Path("unet") / "diffusion_pytorch_model.safetensors"
    larger = (trained.model_folder / of_unet).stat().st_size
    assert (folder / of_unet).stat().st_size < 0.6 * larger
    for file in folder.rglob("*"):
        if file.is_file():
            assert str(tmp_path).encode() not in file.read_bytes(), file
    before = StatePipeline.from_pretrained(trained.model_folder)
    after = StatePipeline.from_pretrained(folder)
    assert after.unet.dtype == torch.float32
    for name in ("statistics.mean", "statistics.std", "grid_thickness", "latent_mean"):
        ours, theirs = (p.codec.state_dict()[name] for p in (after, before))
        assert torch.equal(ours, theirs) and ours.dtype == theirs.dtype
    change = (drawn(after) - drawn(before)).abs().max()
    assert 0 < change < 0.05
    noted = json.loads((folder / "release.json").read_text())["change"]
    assert noted["states"] == 4 and 0 < noted["temperature_rms_K"] < 0.05


def test_without_an_encoder_it_draws_the_same_and_encodes_nothing(trained, tmp_path):
    whole = packed(trained, tmp_path / "a", size=Size(precision="float32"), compared=0)
    part = packed(
        trained, tmp_path / "b", size=Size(precision="float32", encoder=False), compared=0
    )
    assert size_of(part) < size_of(whole)
    one, other = (StatePipeline.from_pretrained(folder) for folder in (whole, part))
    assert torch.equal(drawn(one), drawn(other))
    state = other.draw(generators=[member_generator(0, 0)]).state
    with pytest.raises(UserError, match="packed without its encoder"):
        other.codec.encode(state)


def test_commands_work_on_a_release_and_leave_it_as_it_is(trained, tmp_path, monkeypatch, capsys):
    folder = packed(trained, tmp_path, size=Size(), compared=0)
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.chdir(tmp_path)
    main(["sample", "release", "--output", "one.nc", "--sampling.members", "1"])
    assert xr.open_dataset(tmp_path / "one.nc").thetao.notnull().any()
    main(["sample", "release", "--output", "two.zarr", "--sampling.members", "2"])
    assert len(StateArchive.open(tmp_path / "two.zarr")) == 2
    main(["export", "release", "--states", "two.zarr", "--member", "1"])
    assert list(tmp_path.glob("initial_condition_1*"))
    assert "warning" not in capsys.readouterr().err  # the verdict is about these weights
    main(["verify", "release"])
    for words in (["sample", "release"], ["export", "release"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert "--output to sample, and --states to export" in str(caught.value.code)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == files


def test_a_model_without_a_verdict_or_with_that_of_another_is_refused(trained, tmp_path):
    run = run_at(judged(trained, tmp_path / "run", weights="0123456789abcdef"))
    options = {"output": tmp_path / "release", "size": Size(), "statements": Statements()}
    with pytest.raises(UserError, match="no verdict on its present model"):
        pack(run, **options)
    (run.directory / "metrics.json").unlink()
    with pytest.raises(UserError, match="run halocline evaluate first"):
        pack(run, **options)
    assert not (tmp_path / "release").exists()


def test_a_model_that_is_not_fit_says_so_first(trained, tmp_path, capsys, monkeypatch):
    run = judged(trained, tmp_path / "run", fit=False)
    monkeypatch.chdir(tmp_path)
    main(["pack", str(run), "--compared", "0", "--licence", "cc-by-4.0"])
    folder = tmp_path / "tiny_release"
    assert "not fit to start a model" in capsys.readouterr().err
    found = header(folder)
    assert found["fit_to_start_a_model"] is False and found["license"] == "cc-by-4.0"
    assert REASON in found["limits"]
    text = (folder / "README.md").read_text().split("---\n", 2)[2]
    assert text.index("NOT fit to start") < text.index("## Use")
    assert text.index(REASON) < text.index("## Use")
    repeat_verdict(run_at(run))
    assert f"are not fit to start a model: {REASON}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["pack", str(run), "--compared", "0"])
    assert "exists" in str(caught.value.code)


def test_the_card_has_data_metrics_and_the_hull_of_conditions(conditional, tmp_path):
    folder = packed(conditional, tmp_path, size=Size("float8", patterns=1), compared=0)
    found = header(folder)
    assert found["conditions"]["ranges"] == {"gm": [500.0, 1000.0]}
    assert found["conditions"]["units"] == {"gm": "m2 s-1"}
    assert found["conditions"]["members"] == {"gm": [500.0, 800.0, 1000.0]}
    assert found["metrics"]["novelty"] == {"truth": 1.25, "training": 1.25, "guided_adjusted": 1.25}
    assert found["data"]["archive"] == "states.zarr"
    assert found["data"]["digest"] == conditional.archive.digest
    assert found["data"]["states"] == {"training states": 16}
    assert found["license"] == "not stated" and found["weights"]["patterns"] == 1
    pipeline = StatePipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline(members=1, seed=0, at={"gm": 700.0}).gm.item() == pytest.approx(700.0)
