"""EOF-Gaussian emulator of mean and covariance at given conditions.

After Geogdzhayev et al. (2026, Earth System Dynamics 17, 235): states are a mean that depends on
the parameters, plus empirical orthogonal functions with normally distributed coefficients, whose
variances depend on the parameters too. Here the mean follows season and age as the means of the
model's members do: it is a linear function of `ConditionSpace.course`, whose coefficients are
regressed by Gaussian processes. Logarithms of the variances of the leading functions are linear
functions of the parameters; the others share one factor, that of their total variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.conditions import Conditions, ConditionSpace
from latent_diffusion.regression import Regressor, linear
from latent_diffusion.residuals import least_squares
from studies.conditional.cells import Cells, FloatArray
from studies.conditional.mean_states import MeanRegression, best, gaussian_processes
from studies.conditional.training import TrainingMembers

LEADING = 20  # functions whose variances are regressed one by one
SMALLEST = 1e-10  # of the largest variance: rounding
STRENGTHS = (1e6, 10.0, 1.0, 0.1)  # noise of the regression of variances; the first: a constant


@dataclass(frozen=True)
class Variances:
    """Variances of the functions at given parameters.

    pooled: `r`, means over the members; logarithm: regression of `q` logarithms of variances, those
    of the leading functions and that of the rest
    """

    pooled: FloatArray
    logarithm: Regressor
    points: FloatArray
    values: FloatArray

    @classmethod
    def of(cls, by_member: FloatArray, points: FloatArray) -> Variances:
        """From the variances `m r` of the functions in each member at `points` `m p`."""
        leading = by_member[:, :LEADING]
        rest = by_member[:, LEADING:].sum(axis=1, keepdims=True)
        parts = np.concatenate([leading, rest], axis=1) if rest.any() else leading
        pooled = by_member.mean(axis=0)
        values = np.log(np.maximum(parts, SMALLEST * pooled.max())).T
        values = values - values.mean(axis=1, keepdims=True)
        candidates = [Regressor("linear", linear, noise) for noise in STRENGTHS]
        return cls(pooled, best(candidates, points, values), points, values)

    def at(self, points: FloatArray) -> FloatArray:
        """Variances `b r` at `points` `b p`; over the training members their mean is right."""
        factors = np.exp(self._fitted(points)) / np.exp(self._fitted(self.points)).mean(axis=0)
        rank, leading = len(self.pooled), min(LEADING, len(self.pooled))
        spread = np.repeat(factors[:, -1:], rank - leading, axis=1)
        return self.pooled * np.concatenate([factors[:, :leading], spread], axis=1)

    def _fitted(self, points: FloatArray) -> FloatArray:
        return self.logarithm.predict(points, self.points, self.values)[0]


@dataclass(frozen=True)
class GaussianEmulator:
    """Normal distributions of states at given conditions.

    terms: regression of each coefficient of the course, `t`; functions: `r n`, orthonormal in the
    standardised norm of `cells`; variances: of their coefficients
    """

    space: ConditionSpace
    cells: Cells
    terms: list[MeanRegression]
    functions: FloatArray
    variances: Variances

    @classmethod
    def of(cls, training: TrainingMembers) -> GaussianEmulator:
        """Fit the emulator to the training members."""
        course = training.space.course(training.conditions)
        weights = least_squares(course, training.group)
        courses, residuals = _separated(training, course, weights)
        terms = [
            MeanRegression.of(
                courses[:, term],
                training.points,
                cells=training.cells,
                among=gaussian_processes(),
            )
            for term in range(courses.shape[1])
        ]
        coefficients, functions = _functions(residuals, training.cells)
        by_member = _member_variances(coefficients, weights, training.group)
        variances = Variances.of(by_member, training.points)
        return cls(training.space, training.cells, terms, functions, variances)

    def mean(self, conditions: Conditions) -> FloatArray:
        """Expected vectors `b n`."""
        at, course = self.space.point(conditions), self.space.course(conditions)
        return sum(
            (course[:, [t]] * term.predict(at) for t, term in enumerate(self.terms)),
            start=np.zeros(1),
        )

    def draw(self, conditions: Conditions, *, seed: int) -> FloatArray:
        """Vectors `b n` drawn at the conditions."""
        variance = self.variances.at(self.space.point(conditions))
        noise = np.random.default_rng(seed).standard_normal(variance.shape)
        return self.mean(conditions) + (np.sqrt(variance) * noise) @ self.functions


def _separated(
    training: TrainingMembers, course: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Coefficients `m t n` of each member's vectors on its course `s t`, and residuals `s n`."""
    courses, residuals = [], []
    for number in range(len(training.members)):
        mine = training.group == number
        courses.append(weights[mine].T @ training.own(number))
        residuals.append(training.own(number) - course[mine] @ courses[-1])
    return np.stack(courses), np.concatenate(residuals)


def _functions(residuals: FloatArray, cells: Cells) -> tuple[FloatArray, FloatArray]:
    """Coefficients `s r` of residuals `s n`, and the functions `r n`, from the Gram matrix."""
    scaled = cells.standardised(residuals)
    square, left = np.linalg.eigh(scaled @ scaled.T)
    kept = (square > SMALLEST * square.max())[::-1]
    square, left = square[::-1][kept], left[:, ::-1][:, kept]
    coefficients = left * np.sqrt(square)
    return coefficients, (left / np.sqrt(square)).T @ residuals


def _member_variances(
    coefficients: FloatArray, weights: FloatArray, group: NDArray[np.int64]
) -> FloatArray:
    """Variances `m r` of the coefficients `s r` about the course of each member.

    weights: `s t`, as `least_squares` returns them
    """
    variances = []
    for member in range(group.max() + 1):
        own = group == member
        freedom = max(int(own.sum()) - int(np.linalg.matrix_rank(weights[own])), 1)
        variances.append(np.square(coefficients[own]).sum(axis=0) / freedom)
    return np.stack(variances)
