"""Whether states half-way between two members are one population or a mixture of both.

A network that has memorised its training members returns one of the two neighbours. States are
projected on the line between the members' means: 0 at the first, 1 at the second.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import find_peaks
from scipy.stats import gaussian_kde

from studies.conditional.cells import Cells, FloatArray

POINTS = 400  # of a density
PROMINENCE = 0.1  # of the highest peak, below which a peak is noise of the sample


def positions(
    vectors: FloatArray, first: FloatArray, second: FloatArray, cells: Cells
) -> FloatArray:
    """Positions `b` of vectors `b n` on the line from `first` `n` (0) to `second` `n` (1)."""
    line = cells.standardised(second - first)
    return cells.standardised(vectors - first) @ line / (line @ line)


def residual(series: FloatArray, course: FloatArray) -> FloatArray:
    """What is left of positions `b` about their `course` `b t`, scaled to an unbiased variance."""
    left = series - course @ np.linalg.lstsq(course, series, rcond=None)[0]
    freedom = max(len(series) - int(np.linalg.matrix_rank(course)), 1)
    return left * np.sqrt(len(series) / freedom)


def width_ratio(drawn: FloatArray, within: list[FloatArray]) -> float:
    """Standard deviation of residuals `b`, relative to that within members (pooled)."""
    pooled = np.sqrt(np.mean(np.square(np.concatenate(within))))
    return float(np.sqrt(np.mean(np.square(drawn))) / pooled)


def bimodality(values: FloatArray) -> float:
    """Sarle's coefficient: 1/3 for a normal distribution, 5/9 for a uniform one, 1 for two values.

    With the correction for the size of the sample (Pfister et al. 2013, Frontiers in Psychology 4,
    700).
    """
    n, scaled = len(values), (values - values.mean()) / values.std()
    skewness = np.mean(scaled**3) * np.sqrt(n * (n - 1)) / (n - 2)
    excess = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (np.mean(scaled**4) - 3) + 6)
    return float((skewness**2 + 1) / (excess + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))


def peaks(values: FloatArray) -> int:
    """Number of peaks of the density (normal kernels, width of Silverman 1986, equation 3.31)."""
    margin = np.ptp(values)
    axis = np.linspace(values.min() - margin, values.max() + margin, POINTS)
    density = gaussian_kde(values, bw_method=_silverman(values))(axis)
    return len(find_peaks(density, prominence=PROMINENCE * density.max())[0])


def _silverman(values: FloatArray) -> float:
    """Width of the kernels in standard deviations of the values."""
    deviation = values.std(ddof=1)
    quartiles = np.subtract(*np.percentile(values, [75, 25])) / 1.34
    return float(0.9 * min(deviation, quartiles) / deviation * len(values) ** -0.2)
