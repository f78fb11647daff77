"""What is said of fine states: against the truth, its waves, and the means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from configs.translation import Translation, both
from data.grid import OceanGrid
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.spectra import PLACES, band_metrics
from evaluation.metrics.stability import density_error_percent
from evaluation.metrics.variance import FIELDS
from evaluation.metrics.weights import cell_volume, weighted_mean
from guidance.seawater import EquationOfState
from studies.observations.scores import mean_square_spread
from studies.twins import SCORES, mean_mixed_layer, mean_scores

SHORT = 3  # third of the zonal waves that coarse cells lack

COLUMNS = (
    *SCORES,
    *(Column(f"power_{place}", f"short waves, {place}, / truth", target=1.0) for place in PLACES),
    Column("misfit", "misfit of means / error", target=1.0),
)
PHYSICS = (
    Column("spread_temperature", "spread / error of T", target=1.0),
    Column("density_error_percent", "density error", "%", target=0.0),
    Column("mixed_layer_error_percent", "mixed layer, mean, error", "%", target=0.0),
    Column("cpu_seconds", "processor time per member", "s"),
)
GROUPS = {"skill": COLUMNS, "physics": PHYSICS}
RATIOS = {
    **{f"power_{place}": (f"waves_{place}", f"true_waves_{place}") for place in PLACES},
    "spread_temperature": ("square_spread", "square_error"),
}

Scores = dict[str, Any]  # of one truth


@dataclass(frozen=True)
class Judge:
    """Judges fine states; climatology: mean temperature of the training states, `z y x`."""

    grid: OceanGrid
    eos: EquationOfState
    climatology: Tensor

    def scores(
        self, states: State, truth: State, *, translation: Translation, errors: Tensor
    ) -> Scores:
        """All scores of states `b z y x`; those of `RATIOS` as numerators and denominators."""
        found: Scores = {}
        for field in FIELDS:
            members, true = (getattr(x, field).double() for x in (states, truth))
            found |= self._of_field(field, members, true[0])
        waves = band_metrics(states, truth, self.grid, climatology=self.climatology)
        true_waves = band_metrics(truth, truth, self.grid, climatology=self.climatology)
        for place in PLACES:
            key = f"power_{place}_third_{SHORT}_K2"
            found[f"waves_{place}"], found[f"true_waves_{place}"] = waves[key], true_waves[key]
        misfit = (both(translation.blocks, states) - translation.value) / errors
        depth, true_depth = (mean_mixed_layer(x, self.grid, self.eos) for x in (states, truth))
        return found | {
            "misfit": float(misfit.square().mean().sqrt()),
            "density_error_percent": float(
                density_error_percent(states, self.grid, self.eos).mean()
            ),
            "mixed_layer_error_percent": 100 * (depth / true_depth - 1),
        }

    def _of_field(self, field: str, members: Tensor, truth: Tensor) -> Scores:
        volume = cell_volume(self.grid)
        found: Scores = {**mean_scores(field, members, truth, volume)}
        if field == "temperature" and len(members) > 1:
            spread = float(weighted_mean(mean_square_spread(members), volume))
            found |= {"square_spread": spread, "square_error": found["rmse_temperature"] ** 2}
        return found


def summarise(truths: list[Scores]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over truths of each column of one row.

    Powers and spreads are summed over the truths before they are divided. They have no deviation:
    a truth with hardly any short waves has a ratio without meaning.
    """
    mean: dict[str, float] = {}
    deviation: dict[str, float] = {}
    for column in (*COLUMNS, *PHYSICS):
        above, below = RATIOS.get(column.key, (column.key, ""))
        known = [one for one in truths if above in one and np.isfinite(one[above])]
        if not known:
            continue
        values = np.array([one[above] for one in known])
        own = np.array([one[below] for one in known]) if below else np.ones(len(known))
        root = 0.5 if above == "square_spread" else 1.0
        mean[column.key] = float((values.sum() / own.sum()) ** root)
        if len(known) > 1 and not below:
            deviation[column.key] = float(np.std(values, ddof=1))
    return {"mean": mean, "deviation": deviation}


def climatology(training: State) -> Tensor:
    """Mean temperature `z y x`."""
    return torch.as_tensor(training.temperature.mean(dim=0))
