"""Splits are blocks of time with gaps, or members; never random."""

from __future__ import annotations

import numpy as np
import pytest

from data.archive.splits import apart, split_by_member, split_by_time_blocks
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


def distance(time, split):
    """Shortest time between states of different parts, gaps left out."""
    used = split >= 0
    between = np.abs(time[used][:, None] - time[used])
    return between[split[used][:, None] != split[used]].min()


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_each_block_has_all_parts_with_gaps(blocks):
    time, member = two_members()
    split = split_by_time_blocks(time, member, gap_years=1.5, blocks=blocks)
    for one in (0, 3):
        rows = np.flatnonzero(member == one)
        rows = rows[np.argsort(time[rows])]
        assert distance(time[rows], split[rows]) >= 1.5
        for number, block in enumerate(np.array_split(split[rows], blocks)):
            onward = block if number % 2 == 0 else block[::-1]
            changes = onward[np.flatnonzero(np.diff(onward, prepend=-2))]
            np.testing.assert_array_equal(changes, [0, -1, 1, -1, 2])  # no gap between blocks


def test_an_even_number_of_blocks_gives_all_parts_the_same_mean_time():
    time, member = two_members()
    for blocks, offset in ((1, 25), (4, 0.5)):
        split = split_by_time_blocks(time, member, gap_years=1.5, blocks=blocks)
        means = [time[split == part].mean() for part in (0, 1, 2)]
        assert np.ptp(means) == pytest.approx(offset, abs=0.5 if blocks == 4 else 5)


def test_uneven_sampling_leaves_no_part_of_a_block_empty():
    """Sampled densely, then not at all for longer than a block lasts, then sparsely."""
    dense, sparse = np.arange(0, 10, 0.1), np.arange(30, 80, 0.5)
    time = np.concatenate([dense, sparse])
    member = np.zeros(len(time), int)
    for blocks in (2, 3, 4, 6):
        split = split_by_time_blocks(time, member, gap_years=0.3, blocks=blocks)
        assert distance(time, split) >= 0.3 - 1e-9
        assert all({0, 1, 2} <= {*block} for block in np.array_split(split, blocks))


def test_several_blocks_ignore_the_order_of_samples():
    time, member = two_members()
    split = split_by_time_blocks(time, member, gap_years=1.5, blocks=3)
    again = split_by_time_blocks(time[::-1], member[::-1], gap_years=1.5, blocks=3)
    np.testing.assert_array_equal(split, again[::-1])


def test_too_many_blocks():
    time, member = np.arange(40.0), np.zeros(40, int)
    with pytest.raises(UserError, match=r"block 0 of member 0 spans 9 years .* give fewer blocks"):
        split_by_time_blocks(time, member, gap_years=5.0, blocks=4)
    with pytest.raises(UserError, match=r"a member with 40 states has no 41 blocks"):
        split_by_time_blocks(time, member, gap_years=0.0, blocks=41)


def test_states_are_thinned_member_by_member():
    time = np.array([0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.05, 0.15])
    member = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    kept = apart(time, member, interval_years=0.2)
    np.testing.assert_array_equal(kept, [True, False, True, False, True, False, True, False])
    np.testing.assert_array_equal(apart(time[::-1], member[::-1], interval_years=0.2), kept[::-1])
    assert apart(time, member, interval_years=0.0).all()


def test_by_member():
    member = np.array([0, 0, 1, 2])
    np.testing.assert_array_equal(split_by_member(member, validation=[1], test=[2]), [0, 0, 1, 2])
    with pytest.raises(UserError, match=r"member 5 is not in the archive"):
        split_by_member(member, validation=[5], test=[2])
    with pytest.raises(UserError, match=r"in both"):
        split_by_member(member, validation=[1], test=[1])
    with pytest.raises(UserError, match=r"leave one to train on"):
        split_by_member(member, validation=[0, 1], test=[2])


def test_members_for_test_leave_the_years_of_the_others_to_train_and_validation():
    time, member = np.tile(np.arange(21.0), 3), np.repeat([0, 1, 2], 21)
    shared = {"train": 0.6, "validation": 0.2, "gap_years": 4.0, "test_members": [1]}
    split = split_by_time_blocks(time, member, **shared)
    np.testing.assert_array_equal(split[member == 1], 2)
    for one in (0, 2):
        np.testing.assert_array_equal(split[member == one], [0] * 13 + [-1] * 3 + [1] * 5)


def test_members_for_test_that_leave_nothing_to_train_on():
    time, member = np.tile(np.arange(21.0), 2), np.repeat([0, 1], 21)
    with pytest.raises(UserError, match=r"member 4 is not in the archive"):
        split_by_time_blocks(time, member, gap_years=4.0, test_members=[4])
    with pytest.raises(UserError, match=r"leave one to train on"):
        split_by_time_blocks(time, member, gap_years=4.0, test_members=[0, 1])
    with pytest.raises(UserError, match=r"member 1 spans 20 years .* shorten the gaps"):
        split_by_time_blocks(time, member, gap_years=20.0, test_members=[0])
