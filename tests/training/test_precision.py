"""Each stage trains in its own precision, whatever others of the process had."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from data.batches import Samples
from tests.training.trainers import trainer_of
from training.launch import mixed_precision


class One(Samples):
    """Four times a vector of ones."""

    def __len__(self):
        return 4

    def __getitem__(self, item):
        return torch.ones(3), item


class Product(nn.Module):
    """A linear layer, which notes in what precision it computes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.computed = []

    def forward(self, batch, generator):
        product = self.linear(batch)
        self.computed.append(product.dtype)
        return {"loss": product.mean()}


@pytest.mark.parametrize("order", [("bf16", "fp32"), ("fp32", "bf16")])
def test_stages_of_a_process_have_precisions_of_their_own(tmp_path, order):
    computed = {"bf16": torch.bfloat16, "fp32": torch.float32}
    for precision in order:
        network = Product()
        trainer = trainer_of(network, One(), tmp_path, precision=precision)
        losses = trainer.step(next(iter(trainer.batches(0))))
        assert network.computed == [computed[precision]]
        assert losses["loss"].dtype == network.linear.weight.dtype == torch.float32


def test_automatic_precision_is_that_of_the_device(monkeypatch):
    for fast, precision in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr("training.launch.has_fast_bf16", lambda fast=fast: fast)
        assert mixed_precision("auto") == precision
        assert mixed_precision("fp32") == "no"
