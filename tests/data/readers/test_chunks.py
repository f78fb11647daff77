"""dask reads the same values, where it is used at all."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from data.archive.reader import StateArchive
from data.ingest import ingest
from data.readers import chunks
from data.readers.base import ModelOutput
from data.readers.settings import CfReader
from tests.data.test_ingest import model_file, settings

dask = pytest.importorskip("dask")


@pytest.fixture
def store(tmp_path):
    """Model output as Zarr, several states in each chunk."""
    path = tmp_path / "a.zarr"
    model_file(None).to_zarr(path, encoding={"so": {"chunks": (5, 2, 4, 5)}})
    return path


def states(output: ModelOutput) -> torch.Tensor:
    read = list(output.states(np.arange(len(output))))
    return torch.cat([state.to_channels() for state in read])


def test_values_are_the_same_with_and_without(store, tmp_path, monkeypatch):
    ingest(settings(store), output=tmp_path / "with.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "is_installed", lambda _: False)
        assert CfReader().open(store).temperature.chunks is None
        ingest(settings(store), output=tmp_path / "without.zarr")
    digests = [
        StateArchive.open(tmp_path / name).attributes["content_sha256"]
        for name in ("with.zarr", "without.zarr")
    ]
    assert digests[0] == digests[1]


def test_threads_read_the_fields_of_a_slab_together(store, monkeypatch):
    output = CfReader().open(store)
    assert output.salinity.chunks[0] == (12,)
    computed = []
    compute = dask.compute
    monkeypatch.setattr(dask, "compute", lambda *a: computed.append(len(a)) or compute(*a))
    states(output)
    assert computed == [2]  # one slab; temperature and salinity


def test_processes_read_the_chunks_of_the_file(store, monkeypatch):
    with dask.config.set(scheduler="processes"):
        assert CfReader().open(store).salinity.chunks[:2] == ((5, 5, 2), (3,))
        monkeypatch.setattr(chunks, "_WHOLE_BYTES", 10)  # large records: level by level
        assert CfReader().open(store).salinity.chunks[:2] == ((5, 5, 2), (2, 1))


def test_threads_do_not_read_netcdf_but_processes_do(tmp_path):
    model_file(tmp_path / "a.nc")
    plain = CfReader().open(tmp_path / "a.nc")
    assert plain.temperature.chunks is None
    with dask.config.set(scheduler="processes"):
        output = CfReader().open(tmp_path / "a.nc")
    assert output.temperature.chunks[0] == (1,) * 12
    cloudpickle = pytest.importorskip("cloudpickle")  # how chunks get to other processes
    sent = pickle.loads(cloudpickle.dumps(output.temperature.data))  # noqa: S301
    np.testing.assert_array_equal(sent.compute(scheduler="sync"), plain.temperature.values)
    with dask.config.set(scheduler="sync"):
        torch.testing.assert_close(states(output), states(plain), rtol=0, atol=0)
