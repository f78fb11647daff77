"""Split states into independent training, validation and test parts.

Consecutive snapshots are nearly identical, so states are never split at random: parts are periods
separated by unused gaps, or whole ensemble members.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from data.archive.format import SPLITS, UNUSED
from data.errors import UserError

_YEAR_TOLERANCE = 1e-6  # years; model times are sums of steps
_FRACTION_TOLERANCE = 1e-9  # of sums of fractions


def split_by_time_blocks(
    time: NDArray[np.floating],
    member: NDArray[np.integer],
    *,
    train: float = 0.7,
    validation: float = 0.1,
    gap_years: float,
    blocks: int = 1,
    test_members: Collection[int] = (),
) -> NDArray[np.int8]:
    """Part of each sample, `(sample,)`: 0 train, 1 validation, 2 test, -1 in a gap between parts.

    time: `(sample,)`, model years; member: `(sample,)`. Each member is cut into `blocks`
    consecutive blocks. In each block the parts are consecutive in time, separated by two gaps of
    `gap_years`; `train` and `validation` are fractions of the block's time span without the gaps,
    the test part is the rest. With one block, the parts of a drifting run differ by its drift;
    with several, each part samples the whole run.

    Blocks hold equal numbers of samples, not equal times: each weighs the same, however densely
    it was sampled, and a hole in the record leaves none empty. Within one of several blocks, a
    hole counts as no longer than a gap, so that it does not swallow a part.

    Every other block runs backwards: train, validation, test, then test, validation, train. Parts
    that meet at a border of blocks are thus of the same kind and need no gap, and with an even
    number of evenly sampled blocks validation and test have the mean time of training.

    `test_members` are for test as a whole. Train and validation share the time of the others, in
    their proportion, with one gap: for ensembles with too few members for `split_by_member`.

    Raises UserError if the fractions leave no test part, a part of a block stays empty, a test
    member is absent, or none is left to train on.
    """
    if train <= 0 or validation < 0 or train + validation >= 1:
        raise UserError(
            f"fractions train {train:g} and validation {validation:g} leave no test part: expected "
            "a sum below 1."
        )
    split = split_by_member(member, validation=(), test=test_members)
    if test_members:
        train, validation = (part / (train + validation) for part in (train, validation))
    years = np.asarray(time, dtype=np.float64)
    for one in np.unique(member[split == SPLITS["train"]]):
        for number, rows in enumerate(_blocks(years, member == one, blocks)):
            where = f"member {one}" if blocks == 1 else f"block {number} of member {one}"
            clock = years[rows] if blocks == 1 else _without_holes(years[rows], gap_years)
            onward = clock if number % 2 == 0 else -clock
            split[rows] = _split_span(onward, train, validation, gap_years, where=where)
    return split


def split_by_member(
    member: NDArray[np.integer], *, validation: Collection[int], test: Collection[int]
) -> NDArray[np.int8]:
    """Part of each sample, `(sample,)`, by ensemble member; the other members are for training.

    Raises UserError for a member that is absent or in both parts, or if none is left to train on.
    """
    present = set(np.unique(member).tolist())
    absent = ({*validation} | {*test}) - present
    if absent:
        raise UserError(f"member {min(absent)} is not in the archive: it has {sorted(present)}.")
    shared = {*validation} & {*test}
    if shared:
        raise UserError(f"member {min(shared)} is in both validation and test: choose one.")
    split = np.full(len(member), SPLITS["train"], dtype=np.int8)
    split[np.isin(member, list(validation))] = SPLITS["validation"]
    split[np.isin(member, list(test))] = SPLITS["test"]
    if not (split == SPLITS["train"]).any():
        raise UserError("every member is for validation or test: leave one to train on.")
    return split


def apart(
    time: NDArray[np.floating], member: NDArray[np.integer], *, interval_years: float
) -> NDArray[np.bool_]:
    """Whether to keep each sample, `(sample,)`, so that none follows another too closely.

    time: `(sample,)`, model years; member: `(sample,)`. The first sample of a member is kept, then
    always the next one that is at least `interval_years` later.
    """
    kept = np.zeros(len(time), dtype=bool)
    for one in np.unique(member):
        last = -np.inf
        for row in _in_order(time, member == one):
            if time[row] - last >= interval_years - _YEAR_TOLERANCE:
                kept[row], last = True, time[row]
    return kept


def settled(
    time: NDArray[np.floating], member: NDArray[np.integer], *, discard_years: float
) -> NDArray[np.bool_]:
    """Whether to keep each sample, `(sample,)`: not in the first `discard_years` of its member.

    time: `(sample,)`, model years; member: `(sample,)`. Any number above 0 leaves out the first
    sample of each member. Raises UserError if no sample is left.
    """
    numbers, which = np.unique(member, return_inverse=True)
    start = np.array([time[member == one].min() for one in numbers])
    since_start = time - start[which]
    kept = since_start >= discard_years - _YEAR_TOLERANCE
    if not kept.any():
        raise UserError(
            f"data.ingest.discard_years {discard_years:g} leaves no state: the longest member "
            f"spans {since_start.max():.4g} years; give fewer."
        )
    return kept


def _in_order(time: NDArray[np.floating], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers of the chosen samples, in the order of time."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(time[rows], kind="stable")]


def _blocks(
    time: NDArray[np.float64], chosen: NDArray[np.bool_], count: int
) -> list[NDArray[np.int64]]:
    """Numbers of the chosen samples by block, in the order of time."""
    rows = _in_order(time, chosen)
    if len(rows) < count:
        raise UserError(f"a member with {len(rows)} states has no {count} blocks: give fewer.")
    return np.array_split(rows, count)


def _without_holes(time: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """A clock for increasing `time` on which no interval exceeds the gap and the usual interval.

    What is a gap apart on this clock is at least as far apart in time.
    """
    intervals = np.diff(time)
    longest = max(gap, float(np.median(intervals))) if intervals.size else gap
    return np.concatenate([[0.0], np.cumsum(np.minimum(intervals, longest))])


def _split_span(
    time: NDArray[np.float64], train: float, validation: float, gap: float, *, where: str
) -> NDArray[np.int8]:
    elapsed = time - time.min()
    with_test = train + validation < 1 - _FRACTION_TOLERANCE
    usable = elapsed.max() - (2 if with_test else 1) * gap
    ends_train = train * usable
    ends_validation = ends_train + gap + validation * usable
    split = np.full(len(time), UNUSED, dtype=np.int8)
    # Later parts first: without a gap, an instant on a boundary belongs to the earlier part.
    split[elapsed >= ends_validation + gap - _YEAR_TOLERANCE] = SPLITS["test"]
    in_validation = elapsed >= ends_train + gap - _YEAR_TOLERANCE
    in_validation &= elapsed <= ends_validation + _YEAR_TOLERANCE
    split[in_validation] = SPLITS["validation"]
    split[elapsed <= ends_train + _YEAR_TOLERANCE] = SPLITS["train"]
    wanted = {"train": train, "validation": validation, "test": float(with_test)}
    empty = [name for name, part in wanted.items() if part > 0 and SPLITS[name] not in split]
    if usable <= 0 or empty:
        raise UserError(
            f"{where} spans {elapsed.max():.4g} years with {len(time)} states, too few for gaps of "
            f"{gap:g} years between train, validation and test: shorten the gaps, change the "
            "fractions, give fewer blocks, split by member, or set data.ingest.one_member: true "
            "if files continue each other."
        )
    return split


def spread_out(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of `indices`, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
