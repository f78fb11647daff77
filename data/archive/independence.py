"""Number of statistically independent states in a record of correlated snapshots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def anomalies(series: Array, *, season: NDArray[np.integer] | None = None) -> Array:
    """`time ...` without its linear trend and, if `season` `(time,)` is given, each season's mean.

    season: the class of each sample in the year, such as its month. One least-squares fit removes
    both, so that neither affects the other.
    """
    count = len(series)
    classes = np.zeros(count, dtype=int) if season is None else np.asarray(season)
    columns = [classes == one for one in np.unique(classes)]
    design = np.stack([*columns, np.linspace(-1.0, 1.0, count)], axis=1).astype(np.float64)
    flat = np.asarray(series, dtype=np.float64).reshape(count, -1)
    fit, *_ = np.linalg.lstsq(design, flat, rcond=None)
    return (flat - design @ fit).reshape(np.shape(series))


def integral_scale(series: Array) -> float:
    """Samples per independent sample of an anomaly `(time,)`: 1 + 2 sum of its autocorrelation.

    The sum ends at the first lag whose correlation is not positive (the decorrelation by the
    integral time scale, as in Trenberth 1984, Mon. Wea. Rev. 112, 2359-2368, his T0 / dt).
    """
    x = np.asarray(series, dtype=np.float64)
    x = x - x.mean()
    covariance = np.correlate(x, x, mode="full")[len(x) - 1 :] / len(x)
    if covariance[0] == 0:
        return float(len(x))
    correlation = covariance / covariance[0]
    negative = np.flatnonzero(correlation <= 0)
    end = negative[0] if negative.size else len(correlation)
    return float(1 + 2 * correlation[1:end].sum())


def independent_states(series: Array, *, season: NDArray[np.integer] | None = None) -> float:
    """Number of independent states in `(time,)`, between 1 and its length."""
    count = len(series)
    rest = anomalies(series, season=season)
    if rest.std() <= 1e-12 * np.abs(series).max():  # a constant, up to rounding
        return 1.0
    return float(np.clip(count / integral_scale(rest), 1, count))


def leading_components(fields: Array, *, weights: Array, count: int = 3) -> tuple[Array, Array]:
    """Principal components `(time, count)` of `fields` `(time, space)` and their variances `count`.

    weights: `(space,)`, e.g. cell areas; the time mean is removed.
    """
    centred = (fields - fields.mean(axis=0)) * np.sqrt(weights)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    count = min(count, len(s))
    return u[:, :count] * s[:count], s[:count] ** 2


def independent_fields(
    fields: Array, *, weights: Array, season: NDArray[np.integer] | None = None
) -> float:
    """Number of independent states in `fields` `(time, space)`.

    The count of each of the three leading components of the anomalies, averaged with the
    components' variances as weights.
    """
    components, variances = leading_components(anomalies(fields, season=season), weights=weights)
    counts = [len(fields) / integral_scale(component) for component in components.T]
    return float(np.clip(np.average(counts, weights=variances), 1, len(fields)))
