"""The noise of ensemble members."""

from __future__ import annotations

import hashlib

import torch


def member_generator(seed: int, member: int) -> torch.Generator:
    """The noise source of one ensemble member."""
    digest = hashlib.sha256(f"{seed} {member}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
