"""Extrapolation of approaches that are known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studies.partial.exponential import (
    TIMES,
    extrapolate_components,
    extrapolate_groups,
    extrapolate_linearly,
)
from studies.partial.records import Records

YEARS = np.array([1.0, 2.0, 5.0, 10.0])
NEVER = np.array([1e6])  # years
FAST, SLOW = TIMES[40], TIMES[70]


def approaching(gaps: np.ndarray, times: np.ndarray, *, rotation: np.ndarray) -> Records:
    """Members whose values are `rotation` of exponentials: gaps `m v`, e-folding times `v`."""
    equilibrium = 10 + gaps
    decay = np.exp(-(YEARS - 0.5)[:, None] / times)
    means = equilibrium[:, None] - gaps[:, None] * decay
    nothing = np.zeros((len(gaps), 1))
    return Records(nothing, nothing, YEARS, means @ rotation, equilibrium @ rotation, NEVER)


def members(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, 2)) * [1.0, 0.3]


def test_the_equilibrium_of_each_group_is_found_by_its_own_time():
    times = np.array([FAST, SLOW])
    training, at = (
        approaching(members(size, seed), times, rotation=np.eye(2))
        for size, seed in ((6, 0), (3, 1))
    )
    unknown = replace(at, equilibrium=np.full_like(at.equilibrium, np.nan))
    found = extrapolate_groups(training, unknown, groups=np.arange(2))
    np.testing.assert_allclose(found, at.equilibrium, rtol=1e-9)
    shared = extrapolate_groups(training, unknown, groups=np.zeros(2, dtype=int))
    assert np.abs(shared - at.equilibrium).max() > 0.01


def test_patterns_that_approach_at_their_own_times_are_extrapolated():
    """The gaps of both patterns are uncorrelated, so that the components are the patterns."""
    gaps = np.array([[3.0, 1.0], [3.0, -1.0], [-3.0, 1.0], [-3.0, -1.0]])
    angle = 0.5
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    times = np.array([FAST, SLOW])
    training = approaching(gaps, times, rotation=rotation)
    at = approaching(members(3, 2), times, rotation=rotation)
    np.testing.assert_allclose(extrapolate_components(training, at), at.equilibrium, rtol=1e-9)
    by_value = extrapolate_groups(training, at, groups=np.arange(2))
    assert np.abs(by_value - at.equilibrium).max() > 0.01


def test_what_no_training_member_does_stays_as_it_is():
    training = approaching(np.array([[1.0, 0.0], [2.0, 0.0]]), np.full(2, FAST), rotation=np.eye(2))
    at = approaching(np.array([[1.0, 5.0]]), np.full(2, FAST), rotation=np.eye(2))
    found = extrapolate_components(training, at)
    assert found[0, 0] == pytest.approx(11.0)
    assert found[0, 1] == pytest.approx(at.last[0, 1])


def test_a_straight_line_goes_on_to_the_middle_of_the_ages():
    means = (3 + 0.1 * (YEARS - 0.5))[None, :, None]
    nothing = np.zeros((1, 1))
    at = Records(nothing, nothing, YEARS, means, nothing, np.array([70.0, 110.0]))
    assert extrapolate_linearly(at, at)[0, 0] == pytest.approx(3 + 0.1 * 90)
