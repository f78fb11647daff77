"""Schedules of the published methods, for chains of any length."""

from __future__ import annotations

import math

import pytest
import torch

from guidance.guide import Step
from guidance.strength import Constant, DualAscent, Rising

ENERGY = torch.tensor([0.5, 1.5])


def test_the_rising_schedule_is_the_published_one() -> None:
    """kappa = 0.001 for most of the chain, 0.041 at its end (Meunier et al. 2025)."""
    rising = Rising()
    assert rising(ENERGY, Step(499, 1000)) == pytest.approx(0.001, rel=1e-2)
    assert rising(ENERGY, Step(999, 1000)) == pytest.approx(0.041, rel=1e-6)


def test_a_shorter_chain_is_pulled_as_far() -> None:
    left = {
        steps: math.prod(1 - Rising()(ENERGY, Step(number, steps)) for number in range(steps))
        for steps in (1000, 250)
    }
    # What is left of an error at the end, a third of the published schedule's being in its last
    # hundredth; a short chain sees each stretch's end alone.
    assert left[1000] == pytest.approx(math.exp(-1 - 2), rel=0.1)
    assert left[250] == pytest.approx(left[1000], rel=0.15)


def test_the_multiplier_grows_by_the_batch_s_energy_and_starts_anew() -> None:
    ascent = DualAscent(rate=2.0)
    shares = [ascent(ENERGY, Step(number, 10)) for number in range(3)]
    assert shares == pytest.approx([0.2, 0.4, 0.6])
    assert ascent(ENERGY, Step(0, 10)) == pytest.approx(0.2), "another chain"
    assert DualAscent(rate=1e9)(ENERGY, Step(0, 10)) == 1.0


def test_a_constant_stays() -> None:
    assert Constant(0.3)(ENERGY, None) == 0.3
