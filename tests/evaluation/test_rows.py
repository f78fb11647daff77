"""Floors, baselines and halves of the truth."""

from __future__ import annotations

import numpy as np
import torch

from data.state import State
from evaluation.metrics.labels import Labels
from evaluation.rows import halves


def numbered(count: int) -> State:
    """States whose temperature is their number."""
    field = torch.arange(float(count))[:, None, None, None].expand(-1, 1, 2, 2)
    return State(field, 35 + field)


def test_halves_are_earlier_and_later_in_time_for_each_member():
    labels = Labels(np.repeat([3, 1], 4), np.array([0, 1, 2, 3, 7, 6, 5, 4.0]), np.zeros(8))
    earlier, later = halves(numbered(8), labels)
    assert earlier.temperature[:, 0, 0, 0].tolist() == [0, 1, 6, 7]
    assert later.temperature[:, 0, 0, 0].tolist() == [2, 3, 4, 5]


def test_members_of_one_state_have_no_earlier_half():
    labels = Labels(np.arange(3), np.zeros(3), np.zeros(3))
    earlier, later = halves(numbered(3), labels)
    assert len(earlier) == 0 and len(later) == 3
