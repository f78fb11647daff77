"""What is said of the states of a method: against the truth, and against the observations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.grid import OceanGrid
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.stability import density_error_percent
from evaluation.metrics.variance import FIELDS
from evaluation.metrics.weights import cell_volume, weighted_mean
from guidance.seawater import EquationOfState
from studies.observations.networks import Twin
from studies.observations.scores import flat_p, mean_square_spread, rank_shares
from studies.twins import SCORES, mean_mixed_layer, mean_scores

DEPTHS = {"surface": 0.0, "500_m": 500.0, "2000_m": 2000.0}
TITLES = {"surface": "surface", "500_m": "500 m", "2000_m": "2000 m"}

SKILL = (
    *SCORES,
    Column("density_error_percent", "density error", "%", target=0.0),
    Column("mixed_layer_error_percent", "mixed layer, mean, error", "%", target=0.0),
    Column("cpu_seconds", "processor time per member", "s"),
)
CALIBRATION = {
    field: (
        *(
            Column(f"spread_{depth}_{field}", f"spread / error of {symbol}, {title}", target=1.0)
            for depth, title in TITLES.items()
        ),
        *(
            Column(f"flat_{depth}_{field}", f"flat ranks of {symbol}, {title}, p")
            for depth, title in TITLES.items()
        ),
        Column("within_two_errors_percent", "observations within two errors", "%"),
    )
    for field, symbol in FIELDS.items()
}
SUMMED = tuple(column.key for column in SCORES)
PLAIN = (
    *SUMMED,
    "density_error_percent",
    "mixed_layer_error_percent",
    "within_two_errors_percent",
    "cpu_seconds",
)

Scores = dict[str, Any]  # of one truth


@dataclass(frozen=True)
class Judge:
    """Judges states of an ocean."""

    grid: OceanGrid
    eos: EquationOfState

    def scores(self, states: State, twin: Twin) -> Scores:
        """All scores of states `b z y x`, at cells that no observation sees where they differ.

        Numbers by name; `square_error` and `square_spread` of each depth and field, whose ratio is
        taken over all truths; `ranks`, from `rank_shares`.
        """
        found: Scores = {"members": len(states)}
        for field, seen in twin.seen_cells().items():
            members, truth = (getattr(x, field).double() for x in (states, twin.truth))
            found |= self._of_field(field, members, truth[0], ~seen)
        true_depth, depth = (mean_mixed_layer(x, self.grid, self.eos) for x in (twin.truth, states))
        return found | {
            "density_error_percent": float(
                density_error_percent(states, self.grid, self.eos).mean()
            ),
            "mixed_layer_error_percent": 100 * (depth / true_depth - 1),
            "within_two_errors_percent": _within_two_errors(states, twin),
        }

    def _of_field(self, field: str, members: Tensor, truth: Tensor, unseen: Tensor) -> Scores:
        volume = cell_volume(self.grid) * unseen
        square = (members.mean(dim=0) - truth).square()
        found: Scores = {**mean_scores(field, members, truth, volume)}
        spread = mean_square_spread(members)
        for name, depth in DEPTHS.items():
            level = int(np.abs(self.grid.depth - depth).argmin())
            weights = volume[level]
            if not weights.any():
                continue
            found[f"square_error_{name}_{field}"] = float(weighted_mean(square[level], weights))
            if len(members) == 1:
                continue
            found[f"square_spread_{name}_{field}"] = float(weighted_mean(spread[level], weights))
            cells = weights > 0
            shares = rank_shares(members[:, level, cells], truth[level, cells], weights[cells])
            found[f"ranks_{name}_{field}"] = shares.tolist()
        return found


def _within_two_errors(states: State, twin: Twin) -> float:
    """Share of observations, mean over the members, within two standard errors of a member [%].

    The misfit of a member of the exact posterior has the covariance of the errors, hence 95.4.
    """
    misfit = torch.from_numpy(twin.observations.value) - twin.operator(states)
    error = torch.from_numpy(np.sqrt(np.diag(twin.covariance)))
    return float(100 * (misfit.abs() <= 2 * error).double().mean())


def summarise(truths: list[Scores]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over truths of each column of one method.

    Each truth counts once. The ratio of spread to error is that of their rms over the truths; its
    standard deviation is that of the truths' own ratios.
    """
    values = {key: _known([one[key] for one in truths]) for key in PLAIN}
    values = {key: own for key, own in values.items() if own}
    mean = {key: float(np.mean(own)) for key, own in values.items()}
    for depth, field in product(DEPTHS, FIELDS):
        spread, error = (
            [one[key] for one in truths if key in one]
            for key in (f"square_spread_{depth}_{field}", f"square_error_{depth}_{field}")
        )
        if not spread:
            continue
        key = f"spread_{depth}_{field}"
        mean[key] = float(np.sqrt(np.mean(spread) / np.mean(error)))
        values[key] = np.sqrt(np.array(spread) / np.array(error)).tolist()
        ranks = [np.array(one[f"ranks_{depth}_{field}"]) for one in truths]
        mean[f"flat_{depth}_{field}"] = flat_p(ranks)
    deviation = {key: float(np.std(own, ddof=1)) for key, own in values.items() if len(own) > 1}
    return {"mean": mean, "deviation": deviation}


def _known(values: list[float | None]) -> list[float]:
    """The values that exist: without unseen cells there are none, and JSON has no NaN."""
    return [one for one in values if one is not None and np.isfinite(one)]
