"""The walk-through `docs/tutorial/own_output.md`, typed as it stands: from files to a start."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from halocline import main
from tests.ocean_output import WET, cmip
from tests.shown import ROOT, shown_on

PAGE = ROOT / "docs" / "tutorial" / "own_output.md"
COMMANDS = [one.words[1:] for one in shown_on(PAGE) if one.fenced]
_FEW = {"samples": 8, "batch_size": 4, "warmup_samples": 4, "validation_samples": 8}
TINY = {
    **{f"autoencoder.training.{key}": value for key, value in _FEW.items()},
    **{f"diffusion.training.{key}": value for key, value in _FEW.items()},
    "autoencoder.patch": 2,  # the linear path of patches of 4 takes most of the time
    "autoencoder.latent_channels": 4,
    "autoencoder.channels": "[8]",
    "diffusion.channels": "[8, 32]",
    "sampling.members": 4,
    "sampling.steps": 3,
    "evaluation.states": 4,
}
WORDS = [word for key, value in TINY.items() for word in (f"--{key}", str(value))]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(verb: str, *, name: str, example: str = "my_ocean") -> list[str]:
    """The page's command `verb` for an `example`, with `name` in its place."""
    words = next(
        words for words in COMMANDS if words[0] == verb and words[1].partition(".")[0] == example
    )
    return [re.sub(rf"\b{example}\b", name, word) for word in words]


def walk(name: str, *more: str) -> xr.Dataset:
    """Type the page's `init`, `run` and `export`; returns the exported state."""
    main(command("init", name=name, example=name))
    main([*command("run", name=name), *WORDS, *more])
    main([*command("export", name=name), "--output", "start.nc", *WORDS, *more])
    with xr.open_dataset("start.nc") as state:
        return state.load()


def block(language: str, beginning: str) -> str:
    """The page's block of a language that has the words `beginning`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    return next(text for text in blocks if beginning in text)


def summary(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"runs/{name}/ingest.json").read_text())
    return found


@pytest.mark.slow
def test_cmip(folder, capsys):
    """Files of a made-up ocean in the page's folder; its equation of state is corrected."""
    (folder / "cmip").mkdir()
    cmip(folder / "cmip")
    state = walk("my_cmip", "--data.ingest.equation_of_state", "jmd95")
    assert np.isfinite(state.thetao.values[WET]).all()
    assert np.isnan(state.thetao.values[~WET]).all()
    assert "not fit to start a model" in capsys.readouterr().err  # after so little training


@pytest.mark.slow
def test_nemo(folder, shared_data, capsys):
    (folder / "dino").symlink_to(shared_data / "nemo_dino4deg")
    state = walk("my_dino")
    told = capsys.readouterr().out
    assert block("text", "wrote my_dino.yaml") in told
    assert block("text", "wrote runs/my_dino") in told
    assert block("yaml", "name: my_dino") == Path("my_dino.yaml").read_text()
    assert state.thetao.shape == (36, 51, 14)
    assert np.isfinite(state.thetao.values).sum() == summary("my_dino")["cells"]["wet"]


@pytest.mark.slow
def test_mitgcm(folder, shared_data, capsys):
    (folder / "channel").symlink_to(shared_data / "mitgcm_eddying_channel")
    state = walk("my_channel", "--data.ingest.interval_years", "0.2")  # fewer states, in less time
    assert block("text", "wrote my_channel.yaml") in capsys.readouterr().out
    assert block("yaml", "runs/my_channel") in Path("my_channel.yaml").read_text()
    found = summary("my_channel")
    assert found["states"]["train"] > 20
    assert min(found["independent_states"].values()) > 1
    assert found["overturning_percent"]["pairs"] < 0.1
    assert state.thetao.shape == (16, 80, 64)
    assert np.isfinite(state.thetao.values).sum() == found["cells"]["wet"]
