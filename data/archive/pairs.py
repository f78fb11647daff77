"""States of two archives at the same parameters, such as those of one ensemble on two grids."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from data.archive.format import SPLITS
from data.archive.reader import StateArchive
from data.parameters import AGE, SEASON

IntArray = NDArray[np.int64]
Point = tuple[float, ...]


def paired_states(one: StateArchive, other: StateArchive, split: str) -> IntArray:
    """Numbers `n 2` of the states of a split that have the same parameters, season and age.

    Of several such states of `other`, as replicates have, the first is taken.
    """
    names = _shared(one, other)
    partners = {point: row for point, row in reversed(_points(other, names, split))}
    pairs = [
        (row, partners[point]) for point, row in _points(one, names, split) if point in partners
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def shared_climates(one: StateArchive, other: StateArchive) -> tuple[IntArray, IntArray]:
    """Numbers of the training states of each archive whose parameters have states in both.

    At any season and age; both are empty if no parameters are shared.
    """
    names = _shared(one, other) - {SEASON, AGE}
    own, theirs = (_points(archive, names, "train") for archive in (one, other))
    common = {point for point, _ in own} & {point for point, _ in theirs} if names else set()
    first, second = (
        np.array([row for point, row in points if point in common], dtype=np.int64)
        for points in (own, theirs)
    )
    return first, second


def _shared(one: StateArchive, other: StateArchive) -> set[str]:
    return {*one.parameters} & {*other.parameters}


def _points(archive: StateArchive, names: Collection[str], split: str) -> list[tuple[Point, int]]:
    """The parameters, to single precision, and number of each state of a split."""
    rows = np.flatnonzero(archive.split == SPLITS[split])
    columns = [archive.parameters[name][rows] for name in sorted(names)]
    values = np.array(columns).reshape(len(columns), len(rows)).T
    points = [tuple(float(f"{value:.6g}") for value in one) for one in values]
    return list(zip(points, rows.tolist(), strict=True))
