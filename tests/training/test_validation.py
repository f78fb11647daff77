"""The validation loss is the mean over states, whatever the batches and processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from data.batches import Samples
from tests.training.trainers import trainer_of

VALUES = [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 100.0]  # batches of 4 leave 3
MEAN = sum(VALUES) / len(VALUES)

BOTH = """
import sys
from pathlib import Path
from tests.training.test_validation import validation_loss
from training.launch import launched_processes
folder = Path(sys.argv[1])
rank = launched_processes().process_index
(folder / f"loss-{rank}").write_text(str(validation_loss(folder)))
"""


class Numbers(Samples):
    """One number in each state."""

    def __len__(self):
        return len(VALUES)

    def __getitem__(self, item):
        return torch.tensor([VALUES[item]]), item


class Mean(nn.Module):
    """The mean of a batch is its loss."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, batch, generator):
        """The loss of numbers `b 1`."""
        return {"loss": batch.mean() + self.weight}


def validation_loss(folder):
    """As a trainer in this process finds it."""
    return trainer_of(Mean(), Numbers(), folder)._validate()["validation/loss"]


def test_states_of_a_small_last_batch_weigh_as_others(tmp_path):
    assert validation_loss(tmp_path) == pytest.approx(MEAN, rel=1e-6)


@pytest.mark.slow
def test_two_processes_with_unequal_shares_find_the_same(start_two, tmp_path):
    assert start_two("-c", BOTH, str(tmp_path)) == [0, 0]
    for rank in "01":
        loss = float((tmp_path / f"loss-{rank}").read_text())
        assert loss == pytest.approx(MEAN, rel=1e-6)
