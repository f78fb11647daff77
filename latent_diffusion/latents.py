"""The latent cache: posterior mean and standard deviation of each training state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from autoencoder.codec import Codec, IdentityCodec
from data.archive.reader import StateArchive
from data.atomic import atomic_write
from data.batches import Samples
from data.checksums import load_tensors, save_tensors
from data.errors import UserError

SPLITS = ("train", "validation")


class LatentCache(Samples):
    """Means and standard deviations of the latents of a split in memory, `n 2 c h w`."""

    def __init__(self, moments: Tensor) -> None:
        self._moments = moments

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        return self._moments[item], item


class EncodedStates(Samples):
    """The same samples for a data-space model, encoded from the archive on access."""

    def __init__(self, archive: StateArchive, indices: NDArray[np.integer], codec: Codec) -> None:
        self._archive, self._indices, self._codec = archive, indices, codec

    def __len__(self) -> int:
        return len(self._indices)

    @torch.no_grad()
    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        state = self._archive.read([int(self._indices[item])])
        mean, std = self._codec.encode_distribution(state)
        return torch.stack([mean[0], std[0]]), item


def latent_datasets(codec: Codec, archive: StateArchive, *, path: Path) -> dict[str, Samples]:
    """Datasets of the latents of the train and validation splits.

    A VAE's latents are cached in `path`. Raises `UserError` if the cache is from another codec or
    archive, or damaged.
    """
    if isinstance(codec, IdentityCodec):
        return {split: EncodedStates(archive, archive.indices(split), codec) for split in SPLITS}
    if not path.exists():
        _write_cache(codec, archive, path)
    return _read_cache(codec, archive, path)


@torch.no_grad()
def _write_cache(codec: Codec, archive: StateArchive, path: Path) -> None:
    moments = {split: torch.cat(list(_encode(codec, archive, split))) for split in SPLITS}
    with atomic_write(path) as partial:
        save_tensors(moments, partial, about=_origin(codec, archive))


def _encode(
    codec: Codec, archive: StateArchive, split: str, *, batch: int = 16
) -> Iterator[Tensor]:
    indices = archive.indices(split)
    for start in tqdm(range(0, len(indices), batch), desc=f"encoding {split}", unit="batch"):
        state = archive.read(indices[start : start + batch])
        yield torch.stack(codec.encode_distribution(state), dim=1)


def _read_cache(codec: Codec, archive: StateArchive, path: Path) -> dict[str, Samples]:
    moments, about = load_tensors(path)
    for kind, digest in _origin(codec, archive).items():
        if about.get(kind) != digest:
            raise UserError(
                f"the latents in {path} were cached from another {kind} (fingerprint "
                f"{about.get(kind)} instead of {digest}); remove the file to encode again"
            )
    return {split: LatentCache(moments[split]) for split in SPLITS}


def _origin(codec: Codec, archive: StateArchive) -> dict[str, str]:
    return {"autoencoder": codec.fingerprint, "archive": archive.digest}
