"""Splits are blocks of time with gaps, or members; never random."""

from __future__ import annotations

import numpy as np
import pytest

from data.archive.splits import split_by_member, split_by_time_blocks
from data.errors import UserError


def two_members():
    """Two members of 42 years, a state each 150 of 360 days, in shuffled order."""
    time = np.tile(100 + np.arange(1, 101) * 150 / 360, 2)
    member = np.repeat([0, 3], 100)
    order = np.random.default_rng(0).permutation(200)
    return time[order], member[order]


def test_parts_follow_each_other_with_gaps():
    time, member = two_members()
    split = split_by_time_blocks(time, member, gap_years=5.0)
    for one in (0, 3):
        parts = [time[(member == one) & (split == part)] for part in (0, 1, 2)]
        assert parts[1].min() - parts[0].max() >= 5
        assert parts[2].min() - parts[1].max() >= 5
        np.testing.assert_allclose([len(part) for part in parts], [53, 8, 15], atol=1)
        assert parts[2].max() == time[member == one].max()


def test_no_gap_uses_every_state():
    time, member = two_members()
    split = split_by_time_blocks(time, member, gap_years=0.0)
    counts = np.bincount(split + 1, minlength=4)
    np.testing.assert_allclose(counts, [0, 140, 20, 40], atol=2)


def test_split_ignores_the_order_of_samples():
    time, member = two_members()
    split = split_by_time_blocks(time, member, gap_years=5.0)
    again = split_by_time_blocks(time[::-1], member[::-1], gap_years=5.0)
    np.testing.assert_array_equal(split, again[::-1])


def test_too_short_a_record():
    with pytest.raises(UserError, match=r"member 0 spans 9 years with 10 states, too few for gaps"):
        split_by_time_blocks(np.arange(10.0), np.zeros(10, int), gap_years=5.0)


def test_fractions_without_a_test_part():
    with pytest.raises(UserError, match=r"leave no test part"):
        split_by_time_blocks(*two_members(), train=0.9, validation=0.1, gap_years=1.0)


def test_by_member():
    member = np.array([0, 0, 1, 2])
    np.testing.assert_array_equal(split_by_member(member, validation=[1], test=[2]), [0, 0, 1, 2])
    with pytest.raises(UserError, match=r"member 5 is not in the archive"):
        split_by_member(member, validation=[5], test=[2])
    with pytest.raises(UserError, match=r"in both"):
        split_by_member(member, validation=[1], test=[1])
    with pytest.raises(UserError, match=r"leave one to train on"):
        split_by_member(member, validation=[0, 1], test=[2])
