"""What is said of fine states of a coarse run, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from data.archive.reader import StateArchive
from data.regrid import Regridding
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.spectra import PLACES, band_metrics
from evaluation.translation_metrics import (
    Judge,
    level_differences,
    level_weights,
    rms_over_depth,
)
from studies.coarse_basin import settings as s
from studies.downscaling.columns import SHORT

STATES = (
    Column("correlation", "r of large scales"),
    *(Column(f"power_{place}", f"short waves, {place}, / truth", target=1.0) for place in PLACES),
    Column("misfit", "misfit of means / error"),
    Column("bias_K", "bias of level means", "K", target=0.0),
    Column("bias_left_percent", "bias of the 5-degree run left", "%", target=0.0),
)
STABILITY = (
    Column("density_error_percent", "density error", "%", target=0.0),
    Column("mixed_layer_m", "mixed layer, mean", "m"),
    Column("cpu_seconds", "processor time per state", "s"),
)
TARGETS = (
    Column("value", "measured"),
    Column("required", "required"),
    Column("floor", "true states"),
    Column("reached", "reached"),
)
MEANS = ("correlation", "misfit", "density_error_percent", "mixed_layer_m")  # over the pairs
LOW, HIGH = 0.9, 1.1  # of the autoencoder's power
KEPT = 0.95  # correlation of the large scales
HALVED = (  # rows and quantities that should be at most half of the interpolated state's
    (s.TRANSLATED, "bias_K", "bias of level means [K]"),
    *(
        (name, key, title)
        for name in (s.DOWNSCALED, s.TRANSLATED)
        for key, title in (("drift_K", "drift [K]"), ("shock_percent", "first month [%]"))
    ),
)

Scores = dict[str, Any]  # of one pair and row


@dataclass(frozen=True)
class PairJudge:
    """Judges states of one pair against their truth, `1 z y x`, and the coarse state.

    own: differences of the level means of the coarse run from the truth's, `z` [K]
    """

    means: Judge
    truth: State
    own: Tensor

    @classmethod
    def of(cls, means: Judge, truth: State, *, source: StateArchive, number: int) -> PairJudge:
        """Of the truth of the state `number` of a coarse archive."""
        fine = means.translation.run.archive.grid
        coarse = Regridding(fine, source.grid)(truth).state
        state = source.read([number])
        own = level_differences(state.temperature, coarse.temperature, source.grid)
        return cls(means, truth, own)

    def scores(self, states: State) -> Scores:
        """Scores of states `b z y x`; powers as numerators and denominators, biases by level."""
        grid = self.means.translation.run.archive.grid
        climatology = self.means.training.temperature.mean(dim=0)
        row = self.means.row(states)
        found: Scores = {key: row[key] for key in MEANS}
        ours, theirs = (
            band_metrics(one, self.truth, grid, climatology=climatology)
            for one in (states, self.truth)
        )
        for place in PLACES:
            key = f"power_{place}_third_{SHORT}_K2"
            found[f"waves_{place}"], found[f"true_waves_{place}"] = ours[key], theirs[key]
        bias = level_differences(states.temperature, self.truth.temperature, grid)
        return found | {
            "bias": bias.tolist(),
            "own_bias": self.own.tolist(),
            "weights": level_weights(grid).tolist(),
            "square_bias": rms_over_depth(bias, grid) ** 2,
        }


def summarise(pairs: Sequence[Scores]) -> dict[str, float]:
    """One row over all pairs: means, ratios of sums, and the bias of the mean over the pairs."""
    found = {key: _mean(pairs, key) for key in (*MEANS, "cpu_seconds")}
    for place in PLACES:
        found[f"power_{place}"] = _mean(pairs, f"waves_{place}") / _mean(
            pairs, f"true_waves_{place}"
        )
    bias, own = (np.mean([one[key] for one in pairs], axis=0) for key in ("bias", "own_bias"))
    weights = np.array(pairs[0]["weights"])
    found["bias_K"] = float(np.sqrt(weights @ bias**2))
    found["bias_left_percent"] = 100 * float(weights @ (bias * own) / (weights @ own**2))
    return found


def own_bias(pairs: Sequence[Scores]) -> float:
    """Bias of the level means of the coarse run over all pairs [K]."""
    own = np.mean([one["own_bias"] for one in pairs], axis=0)
    return float(np.sqrt(np.array(pairs[0]["weights"]) @ own**2))


def _mean(pairs: Sequence[Scores], key: str) -> float:
    return float(np.mean([one[key] for one in pairs]))


def targets(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the rows are held against: measured, required, the value of true states, and whether.

    A row whose runs blew up misses the targets of runs.
    """
    found = {}
    ceiling, floor = rows[s.RECONSTRUCTED], rows[s.ANOTHER]
    for place in PLACES:
        key = f"power_{place}"
        value, other = (
            _ratio(one.get(key), ceiling.get(key)) for one in (rows[s.DOWNSCALED], floor)
        )
        reached = None if value is None else LOW <= value <= HIGH
        required = f"{LOW:g} to {HIGH:g}"
        found[f"downscaled: short waves, {place}, / autoencoded"] = _target(
            value, required, other, reached
        )
    for name in (s.DOWNSCALED, s.TRANSLATED):
        value = rows[name].get("correlation")
        reached = None if value is None else value >= KEPT
        found[f"{name}: r of large scales"] = _target(
            value, f"at least {KEPT:g}", floor.get("correlation"), reached
        )
    for name, key, title in HALVED:
        found[f"{name}: {title}"] = _halved(rows[name], key, rows[s.INTERPOLATED], floor)
    return found


def _halved(
    row: Mapping[str, Any], key: str, interpolated: Mapping[str, Any], floor: Mapping[str, Any]
) -> dict[str, Any]:
    """Whether a quantity is at most half of the interpolated state's."""
    value, other = row.get(key), interpolated.get(key)
    failed = bool(row.get("blown_up")) and key != "bias_K"
    reached = None if value is None or other is None else value <= 0.5 * other
    required = "half of interpolated" if other is None else f"at most {0.5 * other:.3g}"
    return _target(value, required, floor.get(key), False if failed else reached)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _target(
    value: float | None, required: str, floor: float | None, reached: bool | None
) -> dict[str, Any]:
    words = {True: "yes", False: "no", None: "not measured"}
    return {"value": value, "required": required, "floor": floor, "reached": words[reached]}
