"""Damage to a file of tensors is found before use."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from data.errors import UserError
from data.tensor_sums import load_tensors, save_tensors

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(3),
}


def test_tensors_come_back_with_what_was_said_about_them(tmp_path):
    path = tmp_path / "t.safetensors"
    save_tensors(TENSORS, path, about={"codec": "abc"})
    tensors, about = load_tensors(path)
    assert about == {"codec": "abc"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)


def test_every_flipped_bit_of_a_file_of_tensors_is_found(tmp_path, flip_bits):
    path = tmp_path / "t.safetensors"
    save_tensors(TENSORS, path, about={"codec": "abc"})
    for _ in flip_bits(path, times=200):
        with pytest.raises(UserError, match=r"is damaged|cannot be read|no checksum"):
            load_tensors(path)
    load_tensors(path)


def test_a_file_without_a_checksum_is_refused(tmp_path):
    save_file(TENSORS, tmp_path / "t.safetensors")
    with pytest.raises(UserError, match="holds no checksum"):
        load_tensors(tmp_path / "t.safetensors")
