"""Split states into independent training, validation and test parts.

Consecutive snapshots are nearly identical, so states are never split at random: parts are blocks
of time separated by unused gaps, or whole ensemble members.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from data.archive.format import SPLITS, UNUSED
from data.errors import UserError

_YEAR_TOLERANCE = 1e-6  # years; model times are sums of steps


def split_by_time_blocks(
    time: NDArray[np.floating],
    member: NDArray[np.integer],
    *,
    train: float = 0.7,
    validation: float = 0.1,
    gap_years: float,
) -> NDArray[np.int8]:
    """Part of each sample, `(sample,)`: 0 train, 1 validation, 2 test, -1 in a gap between parts.

    time: `(sample,)`, model years; member: `(sample,)`. In each member the parts are consecutive
    in time, separated by two gaps of `gap_years`; `train` and `validation` are fractions of the
    member's time span without the gaps, the test part is the rest. Raises UserError if the
    fractions leave no test part or a part of a member stays empty.
    """
    if train <= 0 or validation < 0 or train + validation >= 1:
        raise UserError(
            f"fractions train {train:g} and validation {validation:g} leave no test part: expected "
            "a sum below 1."
        )
    split = np.full(len(time), UNUSED, dtype=np.int8)
    for one in np.unique(member):
        rows = member == one
        split[rows] = _split_span(
            np.asarray(time, dtype=np.float64)[rows], train, validation, gap_years, member=int(one)
        )
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


def _split_span(
    time: NDArray[np.float64], train: float, validation: float, gap: float, *, member: int
) -> NDArray[np.int8]:
    elapsed = time - time.min()
    usable = elapsed.max() - 2 * gap
    ends_train = train * usable
    ends_validation = ends_train + gap + validation * usable
    split = np.full(len(time), UNUSED, dtype=np.int8)
    # Later parts first: without a gap, an instant on a boundary belongs to the earlier part.
    split[elapsed >= ends_validation + gap - _YEAR_TOLERANCE] = SPLITS["test"]
    in_validation = elapsed >= ends_train + gap - _YEAR_TOLERANCE
    in_validation &= elapsed <= ends_validation + _YEAR_TOLERANCE
    split[in_validation] = SPLITS["validation"]
    split[elapsed <= ends_train + _YEAR_TOLERANCE] = SPLITS["train"]
    wanted = {"train": train, "validation": validation, "test": 1 - train - validation}
    empty = [name for name, part in wanted.items() if part > 0 and SPLITS[name] not in split]
    if usable <= 0 or empty:
        raise UserError(
            f"member {member} spans {elapsed.max():.4g} years with {len(time)} states, too few for "
            f"gaps of {gap:g} years between train, validation and test: shorten the gaps, change "
            "the fractions, split by member, or set one_member: true if files continue each other."
        )
    return split


def spread_out(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of `indices`, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
