"""Whether generated states are new: as far from the training states as those are from each other.

Consecutive states of one simulation are nearly copies. The reference therefore is the distance of a
training state to the nearest one that is independent of it: of another member, or more than two
decorrelation times away.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.archive.splits import spread_out
from data.grid import OceanGrid
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.distances import anomaly_scale, distance_matrix, nearest_neighbours
from evaluation.metrics.labels import Labels

MOST_REFERENCES = 256  # training states whose nearest one is sought, spread over all of them
# Decorrelation times (1/e) between independent states. After one, the correlation of 0.37 still
# lowers the distance by a fifth, after two (0.14) by 7 %.
INDEPENDENT_AFTER = 2.0
COPY_DISTANCE = 1e-6  # smaller distances between states are round-off
NAN = float("nan")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class IndependentDistances:
    """Distances of training states to the nearest independent training state.

    years: decorrelation time [years]; distance: `b`, without states that have no independent one;
    count: number of independent states
    """

    years: float
    distance: Tensor
    count: int

    @classmethod
    def of(cls, training: State, labels: Labels, grid: OceanGrid) -> IndependentDistances:
        """Distances within `training` with `labels`, for at most 256 states spread over them."""
        scale = anomaly_scale(training, grid)
        years = decorrelation_time(training, labels, grid, scale=scale)
        some = spread_out(np.arange(len(labels)), MOST_REFERENCES)
        states = training.map(itemgetter(torch.from_numpy(some)))
        distance = distance_matrix(states, training, grid, scale=scale)
        apart = INDEPENDENT_AFTER * years
        dependent = torch.from_numpy(_dependent(labels, some, years=apart))
        nearest = distance.masked_fill(dependent, torch.inf).min(dim=1).values
        count = independent_count(labels, years=apart)
        return cls(years, nearest[nearest.isfinite()], count)


def novelty_metrics(
    state: State, training: State, independent: IndependentDistances, grid: OceanGrid
) -> dict[str, float]:
    """How new `state` is, compared with independent states of the training data.

    novelty: median distance to the nearest training state, relative to that of independent
    training states; 1: as new as the model's own later states; far below: copies; above: away from
    the data. copies_percent: states nearer to a training state than any of the independent ones.
    NaN if the training states have no independent ones, or only copies.
    """
    reference = independent.distance
    if len(reference) == 0 or not reference.median() > COPY_DISTANCE:
        return {"novelty": NAN, "copies_percent": NAN}
    distance, _ = nearest_neighbours(state, training, grid)
    copies = (distance < reference.min()).double().mean()
    return {
        "novelty": float(distance.median() / reference.median()),
        "copies_percent": float(100 * copies),
    }


def decorrelation_time(training: State, labels: Labels, grid: OceanGrid, *, scale: Tensor) -> float:
    """Lag [years] at which the autocorrelation of the members' anomalies falls below 1/e.

    Of anomalies about their member's mean and linear trend, pooled over the members: the mean
    inner product of the states at a lag, relative to that of states with themselves, in the metric
    of distances with `scale` `f z`. Without the trend, because the slow drift of a simulation is
    a part of what the training states are, not a memory of their weather. The fit of mean and
    trend shortens it in short records, by about a quarter where they span 20 such times. Linear
    between the lags of the record; time differences are rounded to multiples of the median step.
    Infinite if it does not fall within the record, NaN without a member of three times or if
    they do not differ.
    """
    records = _records(labels)
    if not records:
        return NAN
    pairs = [_pairs(training, labels.time, record, grid, scale) for record in records]
    lag, product, square = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    if not square.mean() > COPY_DISTANCE**2:
        return NAN
    step = float(
        np.median(np.concatenate([np.diff(np.unique(labels.time[record])) for record in records]))
    )
    lags, correlation = _by_lag(lag, product / square.mean(), step)
    below = np.flatnonzero(correlation < np.exp(-1))
    if below.size == 0:
        return float("inf")
    around = slice(below[0] - 1, below[0] + 1)  # the first lag is 0, with a correlation of 1
    return float(np.interp(-np.exp(-1), -correlation[around], lags[around]))


def _records(labels: Labels) -> list[NDArray[np.int64]]:
    """States of each member, in the order of time; without members of fewer than three times."""
    order = np.argsort(labels.time, kind="stable")
    records = [order[labels.member[order] == one] for one in np.unique(labels.member)]
    return [record for record in records if len(np.unique(labels.time[record])) > 2]


def _pairs(
    training: State, time: Array, record: NDArray[np.int64], grid: OceanGrid, scale: Tensor
) -> tuple[Array, Array, Array]:
    """Lag [years] and inner product of all pairs of states of a record, and the states' squares."""
    states = training.map(itemgetter(torch.from_numpy(record)))
    distance = distance_matrix(states, states, grid, scale=scale).numpy()
    inner = _inner_products(distance, time[record])
    earlier, later = np.triu_indices(len(record), k=1)
    lag = time[record][later] - time[record][earlier]
    return lag, inner[earlier, later], inner.diagonal()


def _inner_products(distance: Array, time: Array) -> Array:
    """Inner products `b b` of states without their mean and linear trend, from their distances.

    As in classical scaling (Torgerson 1952, Psychometrika 17, 401-419): -1/2 R d² R, where R
    removes the mean and the trend.
    """
    design = np.stack([np.ones(len(time)), time - time.mean()], axis=1)
    residual = np.eye(len(time)) - design @ np.linalg.pinv(design)
    return -0.5 * residual @ distance**2 @ residual


def _by_lag(lag: Array, correlation: Array, step: float) -> tuple[Array, Array]:
    """Mean lag and mean correlation of the pairs in each multiple of `step`, after lag 0."""
    number = np.round(lag / step).astype(int)
    lags = [lag[number == one].mean() for one in np.unique(number) if one > 0]
    means = [correlation[number == one].mean() for one in np.unique(number) if one > 0]
    return np.array([0.0, *lags]), np.array([1.0, *means])


def independent_count(labels: Labels, *, years: float) -> int:
    """Number of states that are of different members or more than `years` apart.

    One for each member if `years` is NaN or infinite.
    """
    return sum(
        _count_apart(np.sort(labels.time[labels.member == one]), years)
        for one in np.unique(labels.member)
    )


def _count_apart(time: Array, years: float) -> int:
    """Number of times, from the first on, that are more than `years` after the one before."""
    count, last = 1, time[0]
    for one in time:
        if one - last > years:
            count, last = count + 1, one
    return count


def _dependent(labels: Labels, some: NDArray[np.integer], *, years: float) -> NDArray[np.bool_]:
    """Whether each of `some` `a` and each state `b` are of one member, at most `years` apart.

    All states of a member are if `years` is NaN.
    """
    same = labels.member[some, None] == labels.member
    apart = np.abs(labels.time[some, None] - labels.time) > years
    return same & ~apart


COLUMNS = (
    Column(
        "novelty", "novelty", "",
        "distance to the nearest training state, relative to that between independent states of "
        "the simulation; target: 1; far below: copies; above: away from the data",
        target=1.0,
    ),
    Column(
        "copies_percent", "copies", "%",
        "states nearer to a training state than any two independent states of the simulation; "
        "target: 0", target=0.0,
    ),
)  # fmt: skip
