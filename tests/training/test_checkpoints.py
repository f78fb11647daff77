"""Checkpoints: whole or absent, readable without pickle, and only for the run they belong to."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch import nn

import training.checkpoints as checkpoints
from data.errors import UserError
from training.checkpoints import load_checkpoint, save_checkpoint
from training.records import counter_of, latest_checkpoint

IDENTITY: dict[str, object] = {"seed": 1, "parameter_shapes": [[3, 2], [3]]}


class Pieces:
    """A network that has been trained for some steps, with what trains it."""

    def __init__(self, *, steps: int) -> None:
        self.network = nn.Linear(2, 3)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1)
        self.ema = EMAModel(self.network.parameters(), decay=0.9)
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        self.network(torch.ones(4, 2)).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.network.parameters())

    def as_arguments(self) -> dict:
        return {"network": self.network, "ema": self.ema, "optimizer": self.optimizer}

    def save(self, directory: Path, *, counter: int, kept: int = 1) -> Path:
        return save_checkpoint(
            directory, counter=counter, identity=IDENTITY, kept=kept, **self.as_arguments()
        )


def test_a_loaded_checkpoint_continues_like_the_original(tmp_path):
    original, restored = Pieces(steps=3), Pieces(steps=1)
    path = original.save(tmp_path, counter=12)
    load_checkpoint(path, identity=copy.deepcopy(IDENTITY), **restored.as_arguments())
    restored.ema.optimization_step = original.ema.optimization_step
    for pieces in (original, restored):
        pieces.step()
    assert torch.equal(restored.network.weight, original.network.weight)
    for mine, theirs in zip(restored.ema.shadow_params, original.ema.shadow_params, strict=True):
        assert torch.equal(mine, theirs)


def test_the_last_checkpoints_are_kept_and_nothing_of_the_user_is_touched(tmp_path):
    pieces = Pieces(steps=1)
    mine = ["checkpoint-000000009-mine", "checkpoint-9", "checkpoint-000000100.bak"]
    for name in mine:
        (tmp_path / name).mkdir()
    for counter in (9, 10, 100):
        pieces.save(tmp_path, counter=counter, kept=2)
    last = ["checkpoint-000000010", "checkpoint-000000100"]
    assert {path.name for path in tmp_path.iterdir()} == {*mine, *last}
    assert counter_of(latest_checkpoint(tmp_path)) == 100


@pytest.mark.parametrize("part", ["network", "ema", "optimizer"])
def test_a_checkpoint_with_a_number_that_is_not_finite_is_refused(tmp_path, part):
    pieces = Pieces(steps=1)
    tensors = {
        "network": [pieces.network.weight.data],
        "ema": pieces.ema.shadow_params,
        "optimizer": [pieces.optimizer.state[pieces.network.bias]["exp_avg"]],
    }
    tensors[part][0].view(-1)[0] = float("nan")
    path = pieces.save(tmp_path, counter=8, kept=2)
    with pytest.raises(UserError, match=r"not finite; remove it to go on from the one before"):
        load_checkpoint(path, identity=IDENTITY, **pieces.as_arguments())


@pytest.mark.parametrize("interrupted_at", [0, 1, 2])
def test_an_interrupted_write_leaves_the_former_checkpoint(tmp_path, monkeypatch, interrupted_at):
    pieces = Pieces(steps=1)
    former = pieces.save(tmp_path, counter=8)
    save, calls = checkpoints.save_file, []

    def interrupted_save(tensors: dict, path: Path) -> None:
        if len(calls) == interrupted_at:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        calls.append(path)
        save(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", interrupted_save)
    with pytest.raises(KeyboardInterrupt):
        pieces.save(tmp_path, counter=16)
    monkeypatch.undo()

    assert latest_checkpoint(tmp_path) == former
    load_checkpoint(former, identity=IDENTITY, **pieces.as_arguments())
    after = pieces.save(tmp_path, counter=16)
    assert [path.name for path in tmp_path.iterdir()] == [after.name]


def test_no_checkpoint_is_none(tmp_path):
    assert latest_checkpoint(tmp_path / "absent") is None


def test_another_run_is_refused_and_what_differs_is_named(tmp_path):
    pieces = Pieces(steps=1)
    path = pieces.save(tmp_path, counter=8)
    with pytest.raises(UserError, match=r"other settings \(seed differ"):
        load_checkpoint(path, identity={**IDENTITY, "seed": 2}, **pieces.as_arguments())


@pytest.mark.parametrize("name", ["identity.json", "network.safetensors"])
def test_a_damaged_checkpoint_is_refused_in_a_sentence(tmp_path, name):
    pieces = Pieces(steps=1)
    path = pieces.save(tmp_path, counter=8)
    damaged = path / name
    damaged.write_bytes(damaged.read_bytes()[:10])
    with pytest.raises(UserError, match="does not match its checksum"):
        load_checkpoint(path, identity=IDENTITY, **pieces.as_arguments())


def test_every_flipped_bit_of_a_checkpoint_is_found(tmp_path, flip_bits):
    pieces = Pieces(steps=1)
    path = pieces.save(tmp_path, counter=8)
    for _ in flip_bits(path, times=60):
        with pytest.raises(UserError, match="checkpoint-000000008"):
            load_checkpoint(path, identity=IDENTITY, **pieces.as_arguments())
    load_checkpoint(path, identity=IDENTITY, **pieces.as_arguments())


def test_a_checkpoint_under_the_name_of_another_counter_is_refused(tmp_path):
    pieces = Pieces(steps=1)
    path = pieces.save(tmp_path, counter=8)
    later = path.rename(path.with_name("checkpoint-000000016"))
    with pytest.raises(UserError, match=r"counter differ"):
        load_checkpoint(later, identity=IDENTITY, **pieces.as_arguments())


def test_a_checkpoint_of_another_torch_is_resumed_with_a_warning(tmp_path, monkeypatch):
    pieces = Pieces(steps=1)
    with monkeypatch.context() as patch:
        patch.setattr("training.environment.torch.__version__", "1.0")
        path = pieces.save(tmp_path, counter=8)
    with pytest.warns(UserWarning, match="torch 1.0 instead of"):
        load_checkpoint(path, identity=IDENTITY, **pieces.as_arguments())
