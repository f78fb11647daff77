"""Regression of equilibria on the parameters and on the first years of a run.

A form is a choice of what is predicted (the equilibrium itself, or what is missing to it from a
base that is known), from what, and how. Fields become features by all their principal components,
in units of the leading one: the distance of two members is that of their fields, and what varies
little counts little.

Two kinds of regression: `regress` is that of `latent_diffusion.regression`, in the principal
components of what is predicted, about the mean of the members. `respond` is a ridge regression
through the origin, for changes: where neither the parameters nor the state change, nothing does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from latent_diffusion.gaussian import principal_components
from latent_diffusion.regression import Choice, predict, regressors, select
from studies.partial.exponential import extrapolate_components
from studies.partial.records import Records

FloatArray = NDArray[np.float64]
Prediction = Callable[[Records, Records], FloatArray]  # from training members, of runs: `b v`
OfRecords = Callable[[Records], FloatArray]

RIDGES = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-4)  # relative to features of unit variance
BASES: Mapping[str, Prediction] = {
    "equilibrium": lambda training, at: np.zeros_like(at.last),
    "change from the first year": lambda training, at: at.first,
    "remaining change": lambda training, at: at.last,
    "rest beyond the extrapolation": extrapolate_components,
}
PARAMETERS: Mapping[str, OfRecords] = {
    "parameters": lambda records: records.points,
    "change of parameters": lambda records: records.steps,
}
FIELDS: Mapping[str, OfRecords] = {
    "change": lambda records: records.change,
    "tendency": lambda records: records.tendency,
}


@dataclass(frozen=True)
class Form:
    """What is predicted (a key of `BASES`) from what (keys of `PARAMETERS` and `FIELDS`).

    through_origin: whether no features mean no change
    """

    target: str
    features: tuple[str, ...]
    through_origin: bool = False

    @property
    def name(self) -> str:
        """A name for tables."""
        kind = ", through the origin" if self.through_origin else ""
        return f"{self.target} on {', '.join(self.features)}{kind}"

    def predict(self, training: Records, at: Records) -> FloatArray:
        """The equilibria `b v` of the runs `at`, from their records and the training members'."""
        base = BASES[self.target]
        pairs = [self._features(name, training, at) for name in self.features]
        points, places = (np.hstack(columns) for columns in zip(*pairs, strict=True))
        method = respond if self.through_origin else regress
        missing = training.equilibrium - base(training, training)
        return base(training, at) + method(missing, points, places)

    def _features(self, name: str, training: Records, at: Records) -> tuple[FloatArray, FloatArray]:
        """Columns `m p` of the training members and `b p` of the runs `at`."""
        if name in PARAMETERS:
            return PARAMETERS[name](training), PARAMETERS[name](at)
        fields = FIELDS[name](training)
        mean = np.zeros_like(fields[0]) if self.through_origin else fields.mean(axis=0)
        patterns = _patterns(fields - mean, freedom=len(fields) - (not self.through_origin))
        points = (fields - mean) @ patterns.T
        unit = np.sqrt(np.square(points[:, 0]).mean())
        return points / unit, (FIELDS[name](at) - mean) @ patterns.T / unit


def regress(fields: FloatArray, points: FloatArray, at: FloatArray) -> FloatArray:
    """Fields `b v` at the points `at` `b p`, from the `fields` `m v` at the points `points` `m p`.

    The regressor is the one that predicts each member best from the others.
    """
    mean = fields.mean(axis=0)
    patterns = _patterns(fields - mean, freedom=len(fields) - 1)
    values = patterns @ (fields - mean).T
    choice = Choice(select(points, values, regressors(len(points))), np.ones(len(values)))
    coefficients, _ = predict(at, points, values, choice)
    return mean + coefficients @ patterns


def respond(fields: FloatArray, points: FloatArray, at: FloatArray) -> FloatArray:
    """Fields `b v` that are a linear function of the points `at` `b p`, without a constant.

    The ridge is the one that predicts each of the `fields` `m v` best from the others; the errors
    of such predictions are known in closed form (Rasmussen & Williams 2006, equation 5.12).
    """
    covariance = points @ points.T
    precisions = [np.linalg.inv(covariance + ridge * np.eye(len(points))) for ridge in RIDGES]
    errors = [np.square((one @ fields) / np.diag(one)[:, None]).sum() for one in precisions]
    best = precisions[int(np.argmin(errors))]
    predicted: FloatArray = at @ points.T @ best @ fields
    return predicted


def left_out(predicted: Prediction, training: Records) -> FloatArray:
    """The prediction `m v` of each training member from the others."""
    found = [
        predicted(training.without(member), training.at([member]))
        for member in range(len(training))
    ]
    return np.concatenate(found)


def _patterns(anomalies: FloatArray, *, freedom: int) -> FloatArray:
    """Orthonormal principal components `k v` of the anomalies `m v` of members."""
    found, _ = principal_components(torch.from_numpy(anomalies), most=freedom, freedom=freedom)
    return found.numpy()
