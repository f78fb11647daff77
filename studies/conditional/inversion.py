"""Whether states obey their conditions: parameters regressed from states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.state import State
from studies.conditional.cells import Cells, FloatArray
from studies.conditional.training import TrainingMembers

COUNTS = (1, 2, 4, 8, 16, 32)  # of principal components
SMALLEST = 1e-10  # of the largest variance: rounding


@dataclass(frozen=True)
class ParameterRegression:
    """Linear regression of the standardised parameters on principal components of states.

    centre: `n`; patterns: `k n`; slopes: `k+1 p`, the last of the constant
    """

    cells: Cells
    centre: FloatArray
    patterns: FloatArray
    slopes: FloatArray

    @classmethod
    def of(cls, training: TrainingMembers) -> ParameterRegression:
        """Fit to the states of the training members.

        So many components are used that each member is predicted best from the others.
        """
        centre = training.vectors.mean(axis=0)
        scores, patterns = _components(training.cells.standardised(training.vectors - centre))
        true, group = training.points[training.group], training.group
        counts = [count for count in COUNTS if count <= scores.shape[1]]
        errors = [_left_out_error(scores[:, :count], true, group) for count in counts]
        count = counts[int(np.argmin(errors))]
        return cls(training.cells, centre, patterns[:count], _slopes(scores[:, :count], true))

    def parameters(self, states: State) -> FloatArray:
        """Standardised parameters `b p` that the states look like."""
        anomalies = self.cells.vectors(states) - self.centre
        return _with_one(self.cells.standardised(anomalies) @ self.patterns.T) @ self.slopes


def r_squared(predicted: Sequence[FloatArray], true: Sequence[FloatArray]) -> FloatArray:
    """Explained share of the variance of each parameter, `p`, over the states of all members.

    predicted: `b p` of each member; true: its `p`. Each member has the same weight. NaN for a
    parameter that the members share.
    """
    error = sum(np.square(p - t).mean(axis=0) for p, t in zip(predicted, true, strict=True))
    variance = np.square(np.stack(true) - np.mean(true, axis=0)).sum(axis=0)
    unexplained = np.full(len(variance), np.nan)
    np.divide(error, variance, out=unexplained, where=variance > 0)
    return 1 - unexplained


def _components(anomalies: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Leading components `s k` of anomalies `s n`, and their orthonormal patterns `k n`."""
    square, left = np.linalg.eigh(anomalies @ anomalies.T)
    kept = (square > SMALLEST * square.max())[::-1]
    kept[COUNTS[-1] :] = False
    square, left = square[::-1][kept], left[:, ::-1][:, kept]
    return left * np.sqrt(square), (left / np.sqrt(square)).T @ anomalies


def _left_out_error(scores: FloatArray, true: FloatArray, group: NDArray[np.int64]) -> float:
    errors = []
    for one in np.unique(group):
        own = group == one
        fitted = _with_one(scores[own]) @ _slopes(scores[~own], true[~own])
        errors.append(np.square(fitted - true[own]).mean())
    return float(np.mean(errors))


def _slopes(scores: FloatArray, true: FloatArray) -> FloatArray:
    slopes = np.linalg.lstsq(_with_one(scores), true, rcond=None)[0]
    return np.asarray(slopes, dtype=np.float64)


def _with_one(scores: FloatArray) -> FloatArray:
    return np.concatenate([scores, np.ones((len(scores), 1))], axis=1)
