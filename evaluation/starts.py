"""What integrations from two kinds of start have in common."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any


def paired_distances(
    by_start: Mapping[str, Mapping[str, Any]], one: str, other: str
) -> tuple[float, float, int] | None:
    """Mean distances from the truth's runs [K] of two kinds of start, and the number of runs.

    Only runs that neither start lost count: the mean over what survived flatters a start that blows
    up where others end far away. None without such runs.

    by_start: part of the summary of `integration.study.summary`
    """
    runs = zip(
        by_start.get(one, {}).get("distances_K", ()),
        by_start.get(other, {}).get("distances_K", ()),
        strict=False,  # either may have been integrated at fewer points
    )
    known = [run for run in runs if None not in run]
    if not known:
        return None
    ours, theirs = (fmean(side) for side in zip(*known, strict=True))
    return ours, theirs, len(known)
