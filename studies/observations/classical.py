"""Classical analyses: optimal interpolation and ES-MDA, from an ensemble of training states.

Optimal interpolation (Gandin 1963; as ensemble OI with a static ensemble: Evensen 2003, Ocean
Dynamics 53, 343) moves a state x by C H' (H C H' + R)^-1 (y - H x), with the covariance C of the
training states. Members are random training states, each moved towards observations that are
perturbed with errors of covariance R (Burgers et al. 1998, Monthly Weather Review 126, 1719), so
that for a normal prior they sample the posterior. Localisation multiplies covariances by a function
of horizontal distance (Gaspari & Cohn 1999, QJRMS 125, 723, equation 4.10).

ES-MDA (Emerick & Reynolds 2013, Computers & Geosciences 55, 3) updates an ensemble by its own
covariances in several passes, each with errors enlarged so that together they count once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.extras import is_installed, lack_of
from data.grid import OceanGrid
from data.localisation import distance_km, gaspari_cohn
from data.locate import Locator

FloatArray = NDArray[np.float64]
CELLS_AT_ONCE = 2048  # of localised covariances
SMOOTHER = "iterative_ensemble_smoother"


@dataclass(frozen=True)
class Ensemble:
    """States as vectors `s n`, and the values `s o` that observations would have of each."""

    vectors: FloatArray
    seen: FloatArray

    @property
    def anomalies(self) -> tuple[FloatArray, FloatArray]:
        """Deviations from the mean over sqrt(s - 1), of vectors and values."""
        scale = 1 / np.sqrt(len(self.vectors) - 1)
        return tuple(scale * (x - x.mean(axis=0)) for x in (self.vectors, self.seen))


@dataclass(frozen=True)
class Evidence:
    """Observed values `o` and the covariance `o o` of their errors."""

    value: FloatArray
    covariance: FloatArray

    def perturbed(self, count: int, random: np.random.Generator) -> FloatArray:
        """Values `b o` with drawn errors."""
        root = np.linalg.cholesky(self.covariance)
        return self.value + random.standard_normal((count, len(self.value))) @ root.T


def leading_components(ensemble: Ensemble, weights: FloatArray, *, share: float) -> Ensemble:
    """Mean and principal components of an ensemble, as an ensemble with these anomalies.

    The leading ones that hold a `share` of the variance, in the norm with `weights` `n`. Rows are
    the mean plus and minus each component, scaled so that mean and covariance are those of the
    components.
    """
    states, seen = ensemble.anomalies
    square, left = np.linalg.eigh((states * weights) @ states.T)
    square, left = square[::-1].clip(0), left[:, ::-1]
    count = int(np.searchsorted(square.cumsum() / square.sum(), share)) + 1
    scale = np.sqrt((2 * count - 1) / 2)
    parts = [
        mean + np.concatenate([part, -part])
        for mean, part in (
            (full.mean(axis=0), scale * left[:, :count].T @ anomaly)
            for full, anomaly in ((ensemble.vectors, states), (ensemble.seen, seen))
        )
    ]
    return Ensemble(*parts)


def interpolated(
    first: Ensemble,
    evidence: Evidence,
    ensemble: Ensemble,
    random: np.random.Generator,
    *,
    localisation: Localisation | None = None,
) -> FloatArray:
    """Vectors `b n` of the states `first`, moved by optimal interpolation.

    ensemble: its covariance is that of the prior; localisation: of this covariance
    """
    states, seen = ensemble.anomalies
    covariance = seen.T @ seen
    if localisation is not None:
        covariance *= localisation.between_observations
    innovation = evidence.perturbed(len(first.vectors), random) - first.seen
    weights = np.linalg.solve(covariance + evidence.covariance, innovation.T)  # o b
    if localisation is None:
        return first.vectors + (seen @ weights).T @ states
    moved = first.vectors.copy()
    for start in range(0, states.shape[1], CELLS_AT_ONCE):
        part = slice(start, start + CELLS_AT_ONCE)
        local = (states[:, part].T @ seen) * localisation.to_observations(part)
        moved[:, part] += (local @ weights).T
    return moved


@dataclass(frozen=True)
class Localisation:
    """Factors of covariances by horizontal distance.

    cells: longitude and latitude `2 c` of water columns; column: `n`, that of each value of a
    vector; observed: longitude and latitude `2 o`; vanishes: distance at which the factor is 0, in
    km; locator: of the grid
    """

    cells: FloatArray
    column: NDArray[np.int64]
    observed: FloatArray
    vanishes: float
    locator: Locator

    @property
    def between_observations(self) -> FloatArray:
        """Factors `o o`."""
        places, number = np.unique(self.observed, axis=1, return_inverse=True)
        return self._factors(places, places)[number[:, None], number]

    def to_observations(self, part: slice) -> FloatArray:
        """Factors of some values of a vector with the observations, `n o`."""
        columns, row = np.unique(self.column[part], return_inverse=True)
        places, number = np.unique(self.observed, axis=1, return_inverse=True)
        return self._factors(self.cells[:, columns], places)[row[:, None], number]

    def _factors(self, a: FloatArray, b: FloatArray) -> FloatArray:
        return gaspari_cohn(distance_km(a, b, self.locator) / (0.5 * self.vanishes))


def column_of_values(grid: OceanGrid, fields: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Places `2 c` of all columns, and the column of each wet value of `fields` fields, `n`."""
    places = np.stack([z.ravel() for z in grid.positions]).astype(np.float64)
    columns = np.broadcast_to(np.arange(places.shape[1]).reshape(grid.shape[1:]), grid.shape)
    return places, np.tile(columns[grid.wet], fields)


def smoothed(
    vectors: FloatArray,
    observe: Callable[[FloatArray], FloatArray],
    evidence: Evidence,
    *,
    passes: int,
    seed: int,
) -> FloatArray:
    """An ensemble of vectors `s n` after ES-MDA.

    observe: from vectors `s n` to the values `s o` that observations would have. Raises `UserError`
    without the package.
    """
    smoother = smoother_class()(evidence.covariance, evidence.value, alpha=passes, seed=seed)
    for _ in range(passes):
        # Without truncation of singular values, so that many members reach the exact posterior.
        smoother.prepare_assimilation(Y=observe(vectors).T, truncation=1.0)
        vectors = smoother.assimilate_batch(X=vectors.T).T
    return vectors


def smoother_class() -> Callable[..., Any]:
    """The class ESMDA of iterative_ensemble_smoother; raises `UserError` if it is missing."""
    if not is_installed(SMOOTHER):
        raise UserError(f"{lack_of(SMOOTHER)}, or choose methods without ES-MDA with --only")
    from iterative_ensemble_smoother import ESMDA

    return ESMDA
