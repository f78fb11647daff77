"""Statistical emulators of a member's mean state, in physical space.

A mean state at new parameters is a weighted mean of the training members' mean states: of the
nearest ones by the inverse of their distance, or of all with the weights of a regression. The
regression is that of the principal components of the mean states, all with one regressor. As all
components are kept and the regression is linear in them, the weights tell the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from latent_diffusion.regression import Kernel, Regressor, linear, quadratic
from studies.conditional.cells import Cells, FloatArray

NOISES = (1.0, 0.1, 0.01, 0.001)
LENGTHS = (0.5, 1.0, 2.0, 4.0)  # standard deviations of the parameters


@dataclass(frozen=True)
class MeanRegression:
    """Regression of fields on parameters.

    regressor: the best of several; points: `m p`; centre: `n`, mean of the members' fields;
    anomalies: `m n`, their differences from it
    """

    regressor: Regressor
    points: FloatArray
    centre: FloatArray
    anomalies: FloatArray

    @classmethod
    def of(
        cls, fields: FloatArray, points: FloatArray, *, cells: Cells, among: Sequence[Regressor]
    ) -> MeanRegression:
        """Regress the members' fields `m n` at `points` `m p` by the best of some regressors."""
        centre = fields.mean(axis=0)
        anomalies = fields - centre
        values = amplitudes(cells.standardised(anomalies))
        return cls(best(among, points, values), points, centre, anomalies)

    def predict(self, at: FloatArray) -> FloatArray:
        """Fields `b n` at the points `at` `b p`."""
        weights, _ = self.regressor.predict(at, self.points, np.eye(len(self.points)))
        return self.centre + weights @ self.anomalies


def amplitudes(anomalies: FloatArray) -> FloatArray:
    """Principal components `k m` of anomalies `m n`."""
    left, singular, _ = np.linalg.svd(anomalies, full_matrices=False)
    return (left * singular).T


def best(among: Sequence[Regressor], points: FloatArray, values: FloatArray) -> Regressor:
    """The regressor that predicts each member best from the others.

    points: `m p`; values: `k m`, whose squared errors are summed
    """
    errors = [np.square(one.leave_one_out(points, values)[0]).sum() for one in among]
    return among[int(np.argmin(errors))]


def ridge_regressors() -> list[Regressor]:
    """Ridge regressions on linear and on quadratic functions of the parameters."""
    return _with_noise({"linear": linear, "quadratic": quadratic})


def gaussian_processes() -> list[Regressor]:
    """Gaussian processes: Matérn 5/2 or squared exponential, also about a linear function."""
    kernels: dict[str, Kernel] = {"constant": _nothing}
    for name, correlation in (("Matérn 5/2", matern), ("squared exponential", gaussian)):
        for length in LENGTHS:
            kernels[f"{name} over {length:g}"] = _smooth(correlation, length)
            kernels[f"linear and {name} over {length:g}"] = _smooth(correlation, length, linear)
    return _with_noise(kernels)


def matern(distance: FloatArray) -> FloatArray:
    """Matérn 5/2 correlation (Rasmussen & Williams 2006, equation 4.17) at distances in lengths."""
    scaled = np.sqrt(5) * distance
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


def gaussian(distance: FloatArray) -> FloatArray:
    """Squared exponential correlation (Rasmussen & Williams 2006, equation 4.9)."""
    return np.exp(-0.5 * distance**2)


def neighbour_weights(at: FloatArray, points: FloatArray) -> FloatArray:
    """Weights `m` of the p + 1 nearest of the points `m p`: the inverse of their distance.

    at: `p`. A point at no distance has all the weight.
    """
    distance = np.linalg.norm(points - at, axis=1)
    nearest = np.argsort(distance)[: points.shape[1] + 1]
    inverse = np.zeros(len(points))
    inverse[nearest] = 1 / np.maximum(distance[nearest], 1e-12)
    return inverse / inverse.sum()


def _with_noise(kernels: dict[str, Kernel]) -> list[Regressor]:
    return [Regressor(name, kernel, noise) for name, kernel in kernels.items() for noise in NOISES]


def _nothing(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.zeros((len(first), len(second)))


def _smooth(
    correlation: Callable[[FloatArray], FloatArray], length: float, trend: Kernel = _nothing
) -> Kernel:
    def kernel(first: FloatArray, second: FloatArray) -> FloatArray:
        distance = np.linalg.norm(first[:, None] - second[None], axis=2)
        return correlation(distance / length) + trend(first, second)

    return kernel
