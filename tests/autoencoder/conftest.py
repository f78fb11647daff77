"""Codecs of tiny oceans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autoencoder.codec import IdentityCodec, VolumeCodec
from autoencoder.ocean import describe_ocean
from data.archive.reader import StateArchive
from data.normalisation import Statistics
from data.state import State

DESIGN = {"latent_channels": 3, "patch": 2, "channels": [8, 16], "blocks": 1}


@pytest.fixture
def codec_design() -> dict[str, Any]:
    """The design of the codecs of `make_codec`."""
    return dict(DESIGN)


@pytest.fixture
def make_codec(tmp_path, write_tiny_archive):
    """An untrained codec of `kind` for an archive of the given shape, and that archive."""

    def make(kind: str = "vae", **variant) -> tuple[VolumeCodec | IdentityCodec, StateArchive]:
        archive = StateArchive.open(write_tiny_archive(tmp_path / "a.zarr", **variant))
        ocean = describe_ocean(archive)
        torch.manual_seed(0)
        if kind == "identity":
            codec = IdentityCodec(ocean=ocean, multiple=4)
        else:
            mixing = {"mixing": kind != "vae without mixing"}
            codec = VolumeCodec(ocean=ocean, multiple=8, design=DESIGN | mixing)
        indices = archive.indices("train")
        codec.adopt(archive.grid, Statistics.from_archive(archive, indices=indices))
        return codec.eval(), archive

    return make


@pytest.fixture
def training_batches() -> Callable[[StateArchive, int], list[State]]:
    """Reads the training states of an archive in batches of the given size."""

    def read(archive: StateArchive, size: int) -> list[State]:
        indices = archive.indices("train")
        return [archive.read(indices[i : i + size]) for i in range(0, len(indices), size)]

    return read
