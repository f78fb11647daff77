"""The latent cache: posterior mean and standard deviation of each training state.

It is written in pieces and read item by item, so that it may be larger than the memory. Processes
share the encoding: each stores its own pieces, which the main process joins.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from autoencoder.codec import Codec, IdentityCodec
from autoencoder.passing import passing_at_once
from data.archive.reader import StateArchive
from data.atomic import atomic_write
from data.batches import Samples
from data.errors import UserError
from data.tensor_files import Piece, StoredTensor, open_tensors, pieces_of, write_pieces
from data.tensor_sums import load_tensors, save_tensors
from training.launch import (
    end_if_stopped,
    launched_processes,
    of_main_process,
    on_main,
    require_shared_folder,
)
from training.stopping import stop_requested, stops_deferred

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

    A VAE's latents are cached in `path`; all processes call this together. Raises `UserError` if
    the cache is from another codec or archive, or damaged, and `Stopped`, in every process, if one
    of several that encode was asked to stop.
    """
    if isinstance(codec, IdentityCodec):
        return {split: EncodedStates(archive, archive.indices(split), codec) for split in SPLITS}
    if not of_main_process(path.exists()):
        encoding = _Encoding(codec, archive, path)
        if launched_processes().num_processes > 1:
            encoding.share()
        on_main(encoding.write)
    return _read_cache(codec, archive, path)


@dataclass(frozen=True)
class _Encoding:
    """Encodes both splits into the cache at `path`; an interrupted one goes on where it was."""

    codec: Codec
    archive: StateArchive
    path: Path

    def share(self) -> None:
        """Encode this process's pieces, each into a file of its own."""
        require_shared_folder(self.path.parent)
        processes = launched_processes()
        mine = self._pieces[processes.process_index :: processes.num_processes]
        hidden = not processes.is_main_process
        with stops_deferred():
            for piece in tqdm(mine, desc="encoding, own share", unit="batch", disable=hidden):
                if stop_requested():
                    break
                if self._stored(piece) is None:
                    self._store(piece)
            end_if_stopped()

    def write(self) -> None:
        """Write the cache from the stored pieces; encode those that are not stored."""
        write_pieces(
            self.path,
            self._made,
            shapes=self._shapes,
            at_once=self._at_once,
            about=self._origin,
            label="encoding",
        )
        shutil.rmtree(self._folder, ignore_errors=True)

    def _made(self, piece: Piece) -> Tensor:
        stored = self._stored(piece)
        return self._encoded(piece) if stored is None else stored

    @torch.no_grad()
    def _encoded(self, piece: Piece) -> Tensor:
        state = self.archive.read(self._indices[piece.name][piece.items])
        return torch.stack(self.codec.encode_distribution(state), dim=1)

    def _store(self, piece: Piece) -> None:
        with atomic_write(self._file(piece)) as partial:
            save_tensors({"moments": self._encoded(piece)}, partial, about=self._about(piece))

    def _stored(self, piece: Piece) -> Tensor | None:
        """A piece that a process encoded; None if it is missing, damaged or of other latents."""
        if not self._file(piece).is_file():
            return None
        try:
            tensors, about = load_tensors(self._file(piece))
        except UserError:
            return None
        return tensors["moments"] if about == self._about(piece) else None

    def _about(self, piece: Piece) -> dict[str, str]:
        return self._origin | {"end": str(piece.items.stop)}

    def _file(self, piece: Piece) -> Path:
        return self._folder / f"{piece.name}-{piece.items.start:08d}.safetensors"

    @cached_property
    def _origin(self) -> dict[str, str]:
        return _origin(self.codec, self.archive)  # reads all weights

    @property
    def _folder(self) -> Path:
        return self.path.with_name(f"{self.path.name}.pieces")

    @property
    def _pieces(self) -> list[Piece]:
        return pieces_of(self._shapes, self._at_once)

    @cached_property
    def _indices(self) -> dict[str, NDArray[np.int64]]:
        return {split: self.archive.indices(split) for split in SPLITS}

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shape = (2, *self.codec.latent_shape)
        return {split: (len(rows), *shape) for split, rows in self._indices.items()}

    @property
    def _at_once(self) -> int:
        return passing_at_once(self.codec, AT_ONCE)


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
