"""A run verifies its archive before it uses the states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from configs.run import Run
from configs.stages import train_codec, train_denoiser
from data.archive.reader import StateArchive
from data.errors import UserError


@pytest.fixture
def run(tiny_run: Callable[..., Run], write_tiny_archive: Callable[..., Path], tmp_path: Path):
    """A data-space run on an archive of its own, whose codec needs no training."""
    path = write_tiny_archive(tmp_path / "own.zarr")
    return lambda: tiny_run("--data.archive", str(path), "--autoencoder.kind", "identity")


def _warm(path: Path) -> None:
    stored = zarr.open_group(path, mode="r+")["thetao"]
    stored[...] = np.asarray(stored[...]) + 5.0


def test_changed_states_are_refused_by_both_trainings(run):
    train_codec(run())
    assert (run().directory / "archive.json").is_file()
    _warm(run().settings.data.archive)
    for stage in (train_codec, train_denoiser):
        with pytest.raises(UserError, match="its states do not match their checksum"):
            stage(run())


def test_a_finished_stage_does_not_read_the_states_again(run, monkeypatch):
    train_codec(run())
    monkeypatch.setattr(StateArchive, "verify", lambda archive: pytest.fail("read again"))
    train_codec(run())
