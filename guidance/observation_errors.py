"""Errors of observations against a state: of the measurement, and of what the model resolves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.observations import Observations

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RepresentationError:
    """Standard deviation of what a codec does not reconstruct, by level.

    depth: `z` [m]; temperature: `z` [K]; salinity: `z` [1e-3 or g/kg]; sea_level [m]
    """

    depth: FloatArray
    temperature: FloatArray
    salinity: FloatArray
    sea_level: float = 0.0

    def at(self, observations: Observations) -> FloatArray:
        """The error at each observation, `n`, interpolated between levels."""
        profiles = {
            "temperature": self.temperature,
            "salinity": self.salinity,
            "sea_level": np.full(len(self.depth), self.sea_level),
        }
        return np.array(
            [
                np.interp(depth, self.depth, profiles[quantity])
                for depth, quantity in zip(
                    observations.depth, observations.quantity.tolist(), strict=True
                )
            ]
        )


def error_covariance(
    observations: Observations,
    *,
    representation: RepresentationError | None = None,
    correlation_depth: float = 0.0,
) -> FloatArray:
    """Covariance `n n` of the errors, in the squared units of the observations.

    Variances of measurement and representation add up. Errors of one quantity in one profile are
    correlated by exp(-distance / correlation_depth), those of different profiles are independent.

    correlation_depth [m]: 0 for independent errors
    """
    variance = observations.error**2
    if representation is not None:
        variance = variance + representation.at(observations) ** 2
    if not correlation_depth:
        return np.diag(variance)
    error = np.sqrt(variance)
    depth = observations.depth
    distance = np.abs(depth[:, None] - depth)
    together = (observations.profile[:, None] == observations.profile) & (
        observations.quantity[:, None] == observations.quantity
    )
    # Two values at one place are two measurements.
    correlation = np.where(together, np.exp(-distance / correlation_depth), 0.0)
    apart = correlation * (1 - 1e-6) + 1e-6 * np.eye(len(depth))
    return error[:, None] * apart * error
