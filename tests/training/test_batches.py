"""Shares of the samples among processes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from data.errors import UserError
from training.batches import check_shares, validation_batches
from training.plan import TrainingPlan


def test_a_split_that_leaves_a_process_without_a_state_is_refused_before_training():
    two = SimpleNamespace(num_processes=2)
    check_shares([1, 2], accelerator=two)
    with pytest.raises(UserError, match="1 validation state cannot be shared by 2 processes"):
        check_shares([1], accelerator=two)


def test_validation_takes_batches_no_larger_than_training_does():
    samples = [(torch.zeros(1), number) for number in range(70)]
    plan = TrainingPlan(samples=16, batch_size=16)
    sizes = []
    for rank in range(4):
        one = SimpleNamespace(num_processes=4, process_index=rank)
        batches = list(validation_batches(samples, plan=plan, accelerator=one))
        assert all(len(batch) == states for batch, states in batches)
        sizes.append([states for _, states in batches])
    assert sizes == [[4, 4, 4, 4, 2], [4, 4, 4, 4, 2], [4, 4, 4, 4, 1], [4, 4, 4, 4, 1]]
