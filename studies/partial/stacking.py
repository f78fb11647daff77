"""The weighted mean of several predictions (Breiman 1996, Machine Learning 24, 49-64).

The weights are those with which the mean would have predicted the training members best, each from
the others. They are positive and their sum is 1, so that the mean lies between the predictions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from studies.partial.forms import Prediction, left_out
from studies.partial.records import Records

FloatArray = NDArray[np.float64]
STRICTLY = 1e4  # how much more the sum of the weights counts than the errors


class WeightedMean:
    """A prediction that is the weighted mean of `parts`."""

    def __init__(self, parts: Sequence[Prediction]) -> None:
        self._parts = tuple(parts)

    def __call__(self, training: Records, at: Records) -> FloatArray:
        """The equilibria `b v` of the runs `at`."""
        predicted = np.stack([part(training, at) for part in self._parts])
        mean: FloatArray = np.tensordot(self.weights(training), predicted, axes=1)
        return mean

    def weights(self, training: Records) -> FloatArray:
        """The weights of the parts, `k`.

        Errors of a member count relative to its change from the first year to the equilibrium.
        """
        change = np.linalg.norm(training.equilibrium - training.first, axis=1)
        errors = [left_out(part, training) - training.equilibrium for part in self._parts]
        return best_weights(np.stack(errors) / change[:, None])


def best_weights(errors: FloatArray) -> FloatArray:
    """Positive weights `k` of sum 1 with the least squared sum of weighted errors `k m v`."""
    flat = errors.reshape(len(errors), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    root = np.sqrt(values.clip(min=0))[:, None] * vectors.T
    heavy = STRICTLY * np.sqrt(values[-1])
    weights, _ = nnls(np.vstack([root, np.full(len(errors), heavy)]), np.append(0 * values, heavy))
    normalised: FloatArray = weights / weights.sum()
    return normalised
