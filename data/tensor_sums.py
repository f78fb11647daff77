"""Tensors in a file with a checksum of them, written and read as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.errors import UserError

TENSORS = "sha256"  # entry of a file's metadata


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, about: Mapping[str, str]) -> None:
    """Write tensors and texts `about` them as safetensors, with a checksum of both."""
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contents, path, metadata={**about, TENSORS: _of_tensors(contents, about)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `save_tensors` wrote: the tensors, and the texts about them.

    Raises UserError if the file cannot be read or does not match its checksum.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to make it again.") from error
    if TENSORS not in about:
        raise UserError(f"{path} holds no checksum; remove it to make it again.")
    if about.pop(TENSORS) != _of_tensors(tensors, about):
        raise UserError(
            f"{path} is damaged: its tensors do not match their checksum; remove it to make it "
            "again."
        )
    return tensors, about


def _of_tensors(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """sha256 over names, types, shapes and values, and the texts about them."""
    digest = hashlib.sha256(json.dumps(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
