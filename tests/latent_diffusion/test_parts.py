"""Finished batches: none is lost, mixed up or used when damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.errors import UserError
from data.state import State
from latent_diffusion.parts import Parts

LEVELS = 2


def _states(batch: range) -> State:
    """States whose temperature is their member number."""
    numbers = torch.tensor(list(batch), dtype=torch.float32)[:, None, None, None]
    fields = numbers.expand(-1, LEVELS, 3, 4)
    return State(fields, 35 + fields)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Eight members in batches of three, all of them stored."""
    whole = Parts(tmp_path / "parts", record="{}", members=8, batch_size=3)
    for batch in whole.batches:
        whole.store(batch, _states(batch))
    return whole


def _file(parts: Parts, start: int) -> Path:
    return parts.folder / f"{start:07d}.safetensors"


def test_members_come_back_in_order(parts):
    assert parts.batches == [range(0, 3), range(3, 6), range(6, 8)]
    members, states = zip(*parts.states(levels=LEVELS), strict=True)
    assert members == tuple(range(8))
    assert [float(state.temperature[0, 0, 0, 0]) for state in states] == list(range(8))


def test_a_missing_batch_is_not_passed_over(parts):
    _file(parts, 3).unlink()
    with pytest.raises(UserError, match=r"0000003\.safetensors cannot be read"):
        list(parts.states(levels=LEVELS))


@pytest.mark.parametrize("other", ["members", "ensemble", "batch size", "short"])
def test_a_foreign_or_truncated_batch_is_neither_held_nor_merged(parts, tmp_path, other):
    path, batch = _file(parts, 3), parts.batches[1]
    if other == "members":
        path.write_bytes(_file(parts, 0).read_bytes())
    elif other == "short":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        change = {"record": '{"seed": 1}'} if other == "ensemble" else {"batch_size": 2}
        foreign = replace(parts, folder=tmp_path / "foreign", **change)
        second = foreign.batches[1]
        foreign.store(second, _states(second))
        path.write_bytes(_file(foreign, second.start).read_bytes())
    assert not parts.holds(batch)
    with pytest.raises(UserError, match=r"0000003\.safetensors"):
        list(parts.states(levels=LEVELS))
    parts.store(batch, _states(batch))
    assert parts.holds(batch)


def test_the_size_of_a_batch_does_not_grow_with_the_record(parts, tmp_path):
    long = replace(parts, folder=tmp_path / "long", record=json.dumps([0.5] * 100_000))
    long.store(parts.batches[0], _states(parts.batches[0]))
    assert _file(long, 0).stat().st_size == _file(parts, 0).stat().st_size
    assert long.holds(parts.batches[0])


def test_a_batch_with_a_flipped_bit_is_not_held(parts, flip_bits):
    for _ in flip_bits(_file(parts, 6), times=40):
        assert not parts.holds(parts.batches[2])


def test_a_batch_drawn_with_another_torch_is_kept_with_a_warning(parts, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("training.environment.torch.__version__", "1.0")
        parts.store(parts.batches[0], _states(parts.batches[0]))
    with pytest.warns(UserWarning, match=r"torch 1\.0 instead of"):
        assert parts.holds(parts.batches[0])
