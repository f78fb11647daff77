"""What reads whole ensembles, with few large states in memory, and where models compute."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autoencoder.codec import IdentityCodec
from autoencoder.ocean import describe_ocean
from configs.assimilation import representation_error
from configs.run import Run
from data.archive.reader import StateArchive
from data.normalisation import Statistics
from data.observations import Observations
from evaluation.assimilation import assimilate
from evaluation.assimilation_figures import Moments
from evaluation.evaluate import judge_codec
from evaluation.innovations import Innovations
from evaluation.rows import gather_rows
from evaluation.sensitivity import differences
from evaluation.translation import translate


@pytest.fixture(scope="module")
def archive(tmp_path_factory, write_tiny_archive) -> StateArchive:
    path = tmp_path_factory.mktemp("large") / "states.zarr"
    return StateArchive.open(write_tiny_archive(path))


@pytest.fixture(scope="module")
def identity(archive) -> IdentityCodec:
    codec = IdentityCodec(ocean=describe_ocean(archive), multiple=1)
    codec.adopt(archive.grid, Statistics.from_archive(archive, indices=archive.indices("train")))
    return codec


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """Numbers of states that were read at once."""
    sizes: list[int] = []
    original = StateArchive.read

    def noted(self, indices):
        sizes.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(StateArchive, "read", noted)
    return sizes


def innovations(archive: StateArchive) -> np.ndarray:
    grid = archive.grid
    seen = Observations.of_points(
        "temperature", np.zeros(1), error=0.1, longitude=grid.longitude[[3]],
        latitude=grid.latitude[[9]], depth=np.array([40.0]), profile=np.arange(1),
    )  # fmt: skip
    return Innovations.of(archive, seen, np.ones(1)).seen


MAKERS = {
    "innovations": lambda archive, _: innovations(archive),
    "moments": lambda archive, _: Moments.of(archive).deviation,
    "differences": lambda archive, _: differences(archive, archive).mean["thetao"],
    "representation": lambda archive, codec: representation_error(codec, archive).temperature,
}


@pytest.mark.parametrize("name", MAKERS)
def test_large_states_are_read_one_by_one(archive, identity, read, monkeypatch, name):
    expected = MAKERS[name](archive, identity)
    assert max(read) > 1
    read.clear()
    monkeypatch.setattr("data.batches.MOST_BYTES", 1)
    np.testing.assert_allclose(MAKERS[name](archive, identity), expected, atol=1e-12)
    assert set(read) == {1}


class Placed(Exception):
    """The model was asked for where this process computes."""


class Stub:
    """A run whose model must be asked for by `placed_pipeline`."""

    def placed_pipeline(self):
        raise Placed


@pytest.mark.parametrize(
    "use",
    [
        lambda run: gather_rows(run, None),
        lambda run: judge_codec(run, {}, None),
        lambda run: assimilate(run, files=[], output=Path("absent")),
        lambda run: translate(SimpleNamespace(run=run, how="means"), output=Path("absent")),
    ],
)
def test_models_compute_where_sampling_does(use, monkeypatch):
    monkeypatch.setattr("evaluation.rows.draw_rows", lambda run: None)
    with pytest.raises(Placed):
        use(Stub())


def test_a_placed_model_is_on_the_device_of_the_process(monkeypatch):
    model = torch.nn.Linear(1, 1)
    monkeypatch.setattr(Run, "pipeline", lambda self: model)
    device = SimpleNamespace(device=torch.device("meta"))
    monkeypatch.setattr("configs.run.launched_processes", lambda: device)
    assert Run.placed_pipeline(object.__new__(Run)).weight.device.type == "meta"
