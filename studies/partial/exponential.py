"""Extrapolation of the first years of a run, by exponentials whose e-folding times others tell.

A value x(t) approaches its equilibrium as x(t) = a + b exp(-t / tau) (Klinger 2000, Ocean
Modelling 2). For a given tau, a and b follow from the recorded years by least squares, so the
prediction is a weighted sum of these years. Values of one group (a level, a principal component)
share a tau: the one that predicts the known equilibria of the training members best.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from studies.partial.records import Records

FloatArray = NDArray[np.float64]
Shape = Callable[[FloatArray], FloatArray]  # of time [years]
TIMES = np.geomspace(1.0, 1000.0, 120)  # years; candidates of tau
MIDDLE = 0.5  # years from the middle of a year to its end


def extrapolate_linearly(training: Records, at: Records) -> FloatArray:
    """The straight line through the recorded years of the runs `at`, at their ages: `b v`."""
    weights = _weights(at.years, at.ages, lambda time: time)
    predicted: FloatArray = np.einsum("btv,t->bv", at.means, weights)
    return predicted


def extrapolate_groups(training: Records, at: Records, *, groups: NDArray[np.int64]) -> FloatArray:
    """The equilibria `b v` of the runs `at`, by one tau for each group of values `v`, from 0."""
    weights = np.stack([_weights(at.years, at.ages, partial(_decay, tau=tau)) for tau in TIMES])
    best = np.array(
        [_best(training, weights, groups == group) for group in range(groups.max() + 1)]
    )
    predicted: FloatArray = np.einsum("btv,vt->bv", at.means, weights[best[groups]])
    return predicted


def extrapolate_components(training: Records, at: Records) -> FloatArray:
    """The equilibria `b v` of the runs `at`, by one tau for each pattern of change.

    The patterns are the principal components, about zero, of the training members' changes from
    the first year to the equilibrium. What they do not span stays as it is in the last year.
    """
    changes = training.equilibrium - training.first
    _, sizes, patterns = np.linalg.svd(changes, full_matrices=False)
    patterns = patterns[sizes > 1e-9 * sizes[0]]
    inside = extrapolate_groups(
        training.projected(patterns), at.projected(patterns), groups=np.arange(len(patterns))
    )
    predicted: FloatArray = at.last + (inside - at.last @ patterns.T) @ patterns
    return predicted


def _best(training: Records, weights: FloatArray, where: NDArray[np.bool_]) -> int:
    """The number of the weights `k t` with the least squared error of the values `where`."""
    vectors = [*training.means.transpose(1, 0, 2), training.equilibrium]
    own = np.stack([vector[:, where].ravel() for vector in vectors])
    products = own @ own.T
    errors = np.hstack([weights, np.full((len(weights), 1), -1.0)])
    return int(np.einsum("ks,st,kt->k", errors, products, errors).argmin())


def _decay(time: FloatArray, *, tau: float) -> FloatArray:
    decay: FloatArray = np.exp(-time / tau)
    return decay


def _weights(years: FloatArray, ages: FloatArray, shape: Shape) -> FloatArray:
    """Weights `t` of the means of `years` in a fit of a + b shape, averaged over `ages`."""
    recorded = shape(years - MIDDLE)
    anomaly = recorded - recorded.mean()
    ahead = shape(ages).mean() - recorded.mean()
    weights: FloatArray = 1 / len(years) + ahead * anomaly / (anomaly @ anomaly)
    return weights
