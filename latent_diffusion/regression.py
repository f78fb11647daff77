"""Regression of coefficients on the parameters of an ensemble's members.

Gaussian processes with a known kernel (Rasmussen & Williams 2006, Gaussian Processes for Machine
Learning). A linear kernel is a ridge regression on the parameters, a quadratic kernel one on their
squares and products too. One kernel is chosen for all coefficients, that which predicts each member
best from the others; the errors of such predictions give the predictive standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEW_MEMBERS = 8
NOISES = (1.0, 0.1, 0.01)  # variances of what the parameters do not explain, relative to a kernel
CONSTANT_VARIANCE = 1e3  # of the mean over members, which is hardly known in advance

FloatArray = NDArray[np.float64]
Kernel = Callable[[FloatArray, FloatArray], FloatArray]  # of points `a p` and `b p`, `a b`


@dataclass(frozen=True)
class Regressor:
    """A Gaussian process: its kernel, and the variance of noise relative to the kernel's."""

    name: str
    kernel: Kernel
    noise: float

    def leave_one_out(self, points: FloatArray, values: FloatArray) -> tuple[FloatArray, ...]:
        """Errors `k m` of predicting each member from the others, and their variances `m`.

        points: `m p`; values: `k m`. Rasmussen & Williams 2006, equations 5.10-5.12.
        """
        precision = np.linalg.inv(self._covariance(points))
        variance = 1 / np.diag(precision)
        return (values @ precision) * variance, variance

    def predict(
        self, at: FloatArray, points: FloatArray, values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Coefficients `b k` at the points `at` `b p`, and the variances `b` of their errors.

        values: `k m` of the members at `points` `m p`; variances: relative to the kernel's.
        Rasmussen & Williams 2006, equations 2.25-2.26.
        """
        precision = np.linalg.inv(self._covariance(points))
        between = self._kernel(at, points)
        own = np.array([self._kernel(one[None], one[None])[0, 0] for one in at])
        variance = own + self.noise - ((between @ precision) * between).sum(axis=1)
        return between @ precision @ values.T, variance

    def _covariance(self, points: FloatArray) -> FloatArray:
        return self._kernel(points, points) + self.noise * np.eye(len(points))

    def _kernel(self, first: FloatArray, second: FloatArray) -> FloatArray:
        return self.kernel(first, second) + CONSTANT_VARIANCE


def regressors(members: int) -> list[Regressor]:
    """The candidates for an ensemble of so many members, the simplest first.

    Few members do not tell which is best. They are interpolated by a quadratic function.
    """
    if members < FEW_MEMBERS:
        return [Regressor("quadratic", quadratic, 1e-3)]
    kernels = {
        "constant": _nothing,
        "linear": linear,
        "quadratic": quadratic,
        **{f"smooth over {length:g}": _smooth(length) for length in (0.7, 1.4, 2.8)},
    }
    return [Regressor(name, kernel, noise) for name, kernel in kernels.items() for noise in NOISES]


class Choice(NamedTuple):
    """The number of the regressor, and for each of `k` coefficients the scale of its variance."""

    number: int
    scales: FloatArray


def choose(points: FloatArray, values: FloatArray) -> Choice:
    """Choose a regressor for all coefficients. points: `m p`; values: `k m`.

    One for each would be chosen by chance more often than by skill: few members do not tell the
    candidates apart, whereas they agree over many coefficients.

    The scale explains the errors of predicting each member with the regressor that is chosen
    without it. Those of the regressor chosen with it would be too small.
    """
    candidates, errors = regressors(len(points)), np.zeros_like(values)
    for left in range(len(points)):
        rest = np.arange(len(points)) != left
        chosen = candidates[select(points[rest], values[:, rest], candidates)]
        mean, _ = chosen.predict(points[[left]], points[rest], values[:, rest])
        errors[:, left] = values[:, left] - mean[0]
    number = select(points, values, candidates)
    _, expected = candidates[number].leave_one_out(points, values)
    return Choice(number, np.square(errors).mean(axis=1) / expected.mean())


def select(points: FloatArray, values: FloatArray, candidates: Sequence[Regressor]) -> int:
    """The number of the candidate that predicts each member best from the others.

    points: `m p`; values: `k m`, in units in which their squared errors may be added
    """
    errors = [np.square(one.leave_one_out(points, values)[0]).sum() for one in candidates]
    return int(np.argmin(errors))


def predict(
    at: FloatArray, points: FloatArray, values: FloatArray, choice: Choice
) -> tuple[FloatArray, FloatArray]:
    """Means and standard deviations `b k` at the points `at` `b p`.

    points: `m p`; values: `k m`
    """
    mean, variance = regressors(len(points))[choice.number].predict(at, points, values)
    return mean, np.sqrt(variance[:, None] * choice.scales)


def _nothing(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.zeros((len(first), len(second)))


def linear(first: FloatArray, second: FloatArray) -> FloatArray:
    """The kernel `a b` of linear functions of points `a p` and `b p`."""
    return first @ second.T


def quadratic(first: FloatArray, second: FloatArray) -> FloatArray:
    """The kernel `a b` of quadratic functions of points `a p` and `b p`, products included."""
    product = first @ second.T
    return product + 0.5 * product**2


def _smooth(length: float) -> Kernel:
    """Smooth functions over distances of `length` standard deviations, about a linear one."""

    def kernel(first: FloatArray, second: FloatArray) -> FloatArray:
        square = np.square(first[:, None] - second[None]).sum(axis=2)
        return np.exp(-0.5 * square / length**2) + linear(first, second)

    return kernel
