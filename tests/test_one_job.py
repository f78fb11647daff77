"""Commands keep out of a run directory, or an archive, in which another job works."""

from __future__ import annotations

import pytest

import halocline
from data.locks import exclusive

REFUSED = r"halocline: .*{} is used by process \d+ on .*; wait until that job ends"


def _refused(words: list[str], *, name: str) -> None:
    with pytest.raises(SystemExit, match=REFUSED.format(name)):
        halocline.main(words)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "{config}"],
        ["train", "autoencoder", "{config}"],
        ["train", "diffusion", "{config}"],
        ["train", "distillation", "{config}"],
        ["sample", "{config}"],
        ["sensitivity", "{config}", "--to", "gm=1000"],
        ["evaluate", "{config}"],
        ["integrate", "{config}"],
    ],
)
def test_a_run_directory(tiny_config, tmp_path, words):
    with exclusive(tmp_path / "run"):
        before = sorted(tmp_path.rglob("*"))
        _refused([word.format(config=tiny_config) for word in words], name="run")
    assert sorted({*tmp_path.rglob("*")} - {*before}) == []


def test_an_archive_that_is_sampled(tiny_config, tmp_path):
    output = tmp_path / "states"  # archives need no suffix
    with exclusive(output, archive=True):
        _refused(["sample", str(tiny_config), "--output", str(output)], name="states")


@pytest.mark.parametrize("command", ["ingest", "run"])
def test_an_archive_that_is_ingested(tiny_config, tmp_path, command):
    archive = tmp_path / "new.zarr.zip"
    (tmp_path / "states.nc").touch()
    given = {
        "reader": "cf",
        "files": f"[{tmp_path / 'states.nc'}]",
        "equation_of_state": "jmd95",
    }
    words = [f"--data.ingest.{key}={value}" for key, value in given.items()]
    with exclusive(archive, archive=True):
        _refused(
            [command, str(tiny_config), f"--data.archive={archive}", *words], name="new.zarr.zip"
        )
