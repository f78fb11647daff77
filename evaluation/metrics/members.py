"""Variance within and between ensemble members, for states that carry no member.

A generative model may blur the members towards each other: the total variance then is right, but
too much of it lies within members and too little between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from data.grid import OceanGrid
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.distances import anomaly_scale, distance_matrix
from evaluation.metrics.labels import Labels
from evaluation.metrics.variance import (
    FIELDS,
    NAN,
    largest,
    ratio_by_level,
    smallest,
    weighted_mean_by_level,
)
from evaluation.metrics.weights import cell_volume, mean_over_levels

# Where the training members differ less, in units of the variance within them, the variance between
# them is lost in the sampling error of some 64 states.
SMALLEST_DIFFERENCE = 0.25


@dataclass(frozen=True)
class Members:
    """The members of the training states.

    means: mean state of each member, `m z y x`
    scale: standard deviation `f z` of the training anomalies, for distances
    variance: variance within and between the members that nearest means make of the states
    labelled: the same of the members that the labels name
    """

    means: State
    scale: Tensor
    variance: MemberVariance
    labelled: MemberVariance

    @classmethod
    def of(cls, training: State, labels: Labels, grid: OceanGrid) -> Members:
        """Members of `training` states with `labels`.

        `variance` is that of the groups that nearest means make of them, as for generated states of
        unknown members, rather than of the labels: otherwise training states far from the mean of
        their own member would widen it, while generated states could not.
        """
        group = torch.from_numpy(labels.groups)
        means = training.map(lambda field: _group_means(field, group))
        scale = anomaly_scale(training, grid)
        nearest = nearest_mean(training, means, grid, scale=scale)
        variance, labelled = (MemberVariance.of(training, g, grid) for g in (nearest, group))
        return cls(means, scale, variance, labelled)

    def assign(self, state: State, grid: OceanGrid) -> Tensor:
        """The member `b` with the nearest mean state, as an index of `means`."""
        return nearest_mean(state, self.means, grid, scale=self.scale)


@dataclass(frozen=True)
class MemberVariance:
    """Variance within and between groups of states, by level: `z`, for each field.

    The pointwise variance, volume-weighted mean over the cells of a level. NaN at levels without
    ocean.
    """

    within: dict[str, Tensor]
    between: dict[str, Tensor]

    @classmethod
    def of(cls, state: State, group: Tensor, grid: OceanGrid) -> MemberVariance:
        """Variance of states whose groups are `group` `b`; NaN if no group has two states.

        Of n states in G groups, `within` is the pooled sum of squares about the groups' own means
        divided by n - G, and `between` that of the groups' means, each weighted by its size,
        divided by n, less (G - 1) / n of `within`, which the sampling of the means adds (the
        expected mean squares of a one-way analysis of variance, Searle et al. 1992, Variance
        Components, chapter 3).
        """
        group = torch.unique(group, return_inverse=True)[1]
        within, between = {}, {}
        for name in FIELDS:
            within[name], between[name] = _decompose(getattr(state, name), group, grid)
        return cls(within, between)


def member_metrics(
    state: State, members: Members, grid: OceanGrid, *, group: Tensor | None = None
) -> dict[str, float]:
    """Variance of `state` within and between members, relative to that of the training states.

    group: the member or climate `b` of each state, if it is known

    Ratios of `member_profiles`: thickness-weighted mean over the levels; the largest within and
    the smallest between, which show members that are blurred towards each other. NaN with a single
    member or too few states.
    """
    profiles = {
        key: torch.tensor(values, dtype=torch.float64)
        for key, values in member_profiles(state, members, grid, group=group).items()
    }
    metrics: dict[str, float] = {}
    for name in FIELDS:
        within, between = profiles[f"within_{name}"], profiles[f"between_{name}"]
        metrics |= {
            f"variance_within_members_mean_{name}": mean_over_levels(within, grid),
            f"variance_within_members_largest_{name}": largest(within),
            f"variance_between_members_mean_{name}": mean_over_levels(between, grid),
            f"variance_between_members_smallest_{name}": smallest(between),
        }
    return metrics


def member_profiles(
    state: State, members: Members, grid: OceanGrid, *, group: Tensor | None = None
) -> dict[str, list[float]]:
    """Variance within and between members at each level, state / training: `z` values each.

    Keys: "within_temperature", "between_temperature" and likewise for salinity. Without `group`
    each state counts as of the member with the nearest mean state: of states of other climates,
    that would put unlike ones into one group. NaN at levels without ocean or where the training
    states do not vary, everywhere with a single member or if no member has two states; between
    members also where the variance of the training states between them is less than a quarter of
    that within them.
    """
    if len(members.means) < 2:
        parts = product(("within", "between"), FIELDS)
        return {f"{part}_{name}": [NAN] * state.levels for part, name in parts}
    theirs = members.variance if group is None else members.labelled
    group = members.assign(state, grid) if group is None else group
    ours = MemberVariance.of(state, group, grid)
    profiles = {}
    for name in FIELDS:
        within, between = theirs.within[name], theirs.between[name]
        clear = torch.where(between < SMALLEST_DIFFERENCE * within, NAN, between)
        profiles[f"within_{name}"] = ratio_by_level(ours.within[name], within).tolist()
        profiles[f"between_{name}"] = ratio_by_level(ours.between[name], clear).tolist()
    return profiles


def nearest_mean(state: State, means: State, grid: OceanGrid, *, scale: Tensor) -> Tensor:
    """Index `b` of the mean state nearest to each state, see `distances.distance_matrix`."""
    return distance_matrix(state, means, grid, scale=scale).argmin(dim=1)


def _group_means(field: Tensor, group: Tensor) -> Tensor:
    """Mean `m ...` of the values `b ...` of each group 0, 1, ..., in float64."""
    groups = range(int(group.max()) + 1)
    return torch.stack([field[group == one].mean(dim=0, dtype=torch.float64) for one in groups])


def _decompose(field: Tensor, group: Tensor, grid: OceanGrid) -> tuple[Tensor, Tensor]:
    """Variance within and between the groups at each level, both `z`."""
    volume = cell_volume(grid)
    maps = [_decompose_level(level.double(), group) for level in field.unbind(dim=1)]
    within, between = (torch.stack(parts) for parts in zip(*maps, strict=True))
    return weighted_mean_by_level(within, volume), weighted_mean_by_level(between, volume)


def _decompose_level(values: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Pointwise variance within and between the groups, both `y x`, of values `b y x`."""
    means = _group_means(values, group)
    states, groups = len(values), len(means)
    freedom = states - groups if states > groups else NAN
    own = means[group]
    within = (values - own).square().sum(dim=0) / freedom
    spread = (own - values.mean(dim=0)).square().mean(dim=0)
    return within, spread - (groups - 1) / states * within


_MEANINGS = (
    ("within_members_mean", "variance within members, mean,",
     "variance about the mean of the states nearest to the same training member, generated / "
     "training, mean over depth; target: 1; above: members blurred"),
    ("within_members_largest", "variance within members, largest,",
     "at the level where it is largest; target: 1"),
    ("between_members_mean", "variance between members, mean,",
     "variance of the means of these groups, generated / training, mean over the levels where "
     "members differ; target: 1; below: members blurred or missing"),
    ("between_members_smallest", "variance between members, smallest,",
     "at the level where it is smallest; target: 1"),
)  # fmt: skip
COLUMNS = tuple(
    Column(f"variance_{key}_{name}", f"{title} {symbol}", "", meaning, target=1.0)
    for (name, symbol), (key, title, meaning) in product(FIELDS.items(), _MEANINGS)
)
