"""How the numbers of a product vary with the sampling seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.columns import Value, format_spread
from evaluation.verdict import Verdict
from evaluation.yardsticks import PRODUCT

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Seeds:
    """Metrics of the product by sampling seed, of two or more seeds."""

    metrics: Mapping[int, Metrics]

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each metric that all seeds have."""
        return {name: float(np.mean(values)) for name, values in self._by_metric.items()}

    @property
    def deviation(self) -> dict[str, float]:
        """Standard deviation of each metric that all seeds have."""
        return {name: float(np.std(values, ddof=1)) for name, values in self._by_metric.items()}

    def as_dict(self) -> dict[str, Any]:
        """For `metrics.json`: seeds, and mean, deviation and values of each metric."""
        return {
            "seeds": [*self.metrics],
            "mean": self.mean,
            "deviation": self.deviation,
            "values": self._by_metric,
        }

    @property
    def _by_metric(self) -> dict[str, list[float]]:
        first, *others = self.metrics.values()
        shared = [name for name in first if all(name in other for other in others)]
        return {name: [float(m[name]) for m in self.metrics.values()] for name in shared}


def with_spread(row: Mapping[str, Value], seeds: Mapping[str, Any] | None) -> Mapping[str, Value]:
    """A row of a table with mean ± standard deviation in place of the values of one seed.

    seeds: as `Seeds.as_dict` gives them; None leaves the row as it is, and so do unknown means
    """
    if not seeds:
        return row
    mean, deviation = seeds["mean"], seeds["deviation"]
    known = [key for key in row if mean.get(key) is not None and not np.isnan(mean[key])]
    return {**row, **{key: format_spread(mean[key], deviation[key]) for key in known}}


def at_mean(
    rows: Mapping[str, Mapping[str, Any]], seeds: Mapping[str, Any] | None
) -> dict[str, Mapping[str, Any]]:
    """Metrics by row, with those of the product's mean over the seeds, if there are several."""
    if not seeds:
        return dict(rows)
    return {**rows, PRODUCT: {**rows[PRODUCT], **seeds["mean"]}}


def verdict_of_seeds(verdicts: Mapping[int, Verdict]) -> Verdict:
    """The verdict on several seeds: fit with all, or the first one that is not fit.

    A sentence says with how many the product is fit.
    """
    fit = [seed for seed, verdict in verdicts.items() if verdict.fit]
    first, *_ = verdicts
    if len(verdicts) == 1:
        return verdicts[first]
    chosen = next((seed for seed in verdicts if seed not in fit), first)
    return Verdict(verdicts[chosen].checks, remark=_remark([*verdicts], fit, chosen))


def _remark(seeds: Sequence[int], fit: Sequence[int], chosen: int) -> str:
    share = "all" if len(fit) == len(seeds) else f"{len(fit)} of"
    return f"Fit with {share} {len(seeds)} sampling seeds; the numbers here are of seed {chosen}."
