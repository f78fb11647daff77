"""The latent cache: posterior mean and standard deviation of each training state.

It is written in pieces and read item by item, so that it may be larger than the memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoencoder.codec import Codec, IdentityCodec
from autoencoder.passing import passing_at_once
from data.archive.reader import StateArchive
from data.batches import Samples
from data.errors import UserError
from data.tensor_files import Piece, StoredTensor, open_tensors, write_pieces

SPLITS = ("train", "validation")
AT_ONCE = 16  # states that are encoded together, if they are not large


class LatentCache(Samples):
    """Means and standard deviations of the latents of a split, `n 2 c h w`, stored or in memory."""

    def __init__(self, moments: Tensor | StoredTensor) -> None:
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
    """Encode both splits; an interrupted call goes on where it was."""
    indices = {split: archive.indices(split) for split in SPLITS}

    def encode(piece: Piece) -> Tensor:
        state = archive.read(indices[piece.name][piece.items])
        return torch.stack(codec.encode_distribution(state), dim=1)

    write_pieces(
        path,
        encode,
        shapes={split: (len(rows), 2, *codec.latent_shape) for split, rows in indices.items()},
        at_once=passing_at_once(codec, AT_ONCE),
        about=_origin(codec, archive),
        label="encoding",
    )


def _read_cache(codec: Codec, archive: StateArchive, path: Path) -> dict[str, Samples]:
    moments, about = open_tensors(path)
    for kind, digest in _origin(codec, archive).items():
        if about.get(kind) != digest:
            raise UserError(
                f"the latents in {path} were cached from another {kind} (fingerprint "
                f"{about.get(kind)} instead of {digest}); remove the file to encode again"
            )
    return {split: LatentCache(moments[split]) for split in SPLITS}


def _origin(codec: Codec, archive: StateArchive) -> dict[str, str]:
    return {"autoencoder": codec.fingerprint, "archive": archive.digest}
