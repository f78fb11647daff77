"""Differences of ensembles."""

from __future__ import annotations

import pytest
import torch

from data.state import State
from studies.cost.check_sampling import differences


def test_differences_are_those_of_wet_cells():
    wet = torch.tensor([True, True, True, False]).view(1, 2, 2)
    fields = torch.zeros(3, 1, 2, 2)
    states, others = State(fields, fields + 35), State(fields.clone(), fields + 35)
    found = differences(states, others, wet)
    assert found == {"states": 3, "bitwise": True, "largest": 0.0, "rms": 0.0}
    others.temperature[0, 0, 0, 0] = -0.3  # one of nine wet cells
    found = differences(states, others, wet)
    assert not found["bitwise"]
    assert found["largest"] == pytest.approx(0.3)
    assert found["rms"] == pytest.approx(0.1)
    others.salinity[:] += 1.0
    assert differences(states, others, wet)["rms"] == pytest.approx(1.0)


def test_sea_level_must_be_the_same_bit_for_bit():
    wet, fields, level = torch.ones(1, 2, 2, dtype=torch.bool), torch.zeros(2, 1, 2, 2), 1e-6
    states = State(fields, fields, torch.zeros(2, 2, 2))
    others = State(fields, fields, torch.full((2, 2, 2), level))
    assert differences(states, others, wet)["bitwise"] is False
