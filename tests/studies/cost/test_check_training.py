"""Shares of batches, and differences of weights."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from studies.cost.check_training import difference, digest, shares_of


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


def test_shares_are_contiguous_parts_of_a_batch():
    batch = torch.arange(6)
    assert [share.tolist() for share in shares_of(batch, 3)] == [[0, 1], [2, 3], [4, 5]]
    first, second = shares_of(Pair(batch, 10 * batch), 2)
    assert isinstance(second, Pair)
    assert (first.first.tolist(), second.second.tolist()) == ([0, 1, 2], [30, 40, 50])


def test_weights_differ_by_their_distance_relative_to_the_way():
    start = {"a": torch.zeros(2), "b": torch.zeros(1)}
    reference = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([4.0])}
    weights = {"a": torch.tensor([3.0, 0.5]), "b": torch.tensor([4.0])}
    assert difference(weights, reference, start=start) == pytest.approx(0.1)
    assert difference(reference, reference, start=start) == 0


def test_a_digest_sees_the_last_bit_and_the_name():
    one = {"a": torch.ones(3), "scalar": torch.tensor(1.0)}
    other = {"a": torch.ones(3), "scalar": torch.tensor(1.0)}
    assert digest(one) == digest(other)
    other["a"][2] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    assert digest(one) != digest(other)
    assert digest(one) != digest({"b": torch.ones(3)})
