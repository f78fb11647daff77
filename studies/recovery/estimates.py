"""Estimates of the parameters of an observed state, by our model and by classical statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.given import posterior_of
from configs.run import Run
from data.archive.splits import spread_out
from data.conditions import Conditions, ConditionSettings
from data.errors import UserError
from data.state import State
from latent_diffusion.expectation import Expectation
from latent_diffusion.inference import Inference
from latent_diffusion.pipeline import StatePipeline
from studies.observations.classical import Ensemble, Evidence, interpolated
from studies.observations.networks import Twin
from studies.observations.rows import MOST_TRAINING
from studies.recovery import settings as s

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Bounds of the range that holds `SHARE` of the probability, and median, of each parameter `p`.

    In standard deviations over the training members, on the scale of each parameter. cpu_seconds:
    processor time that it took
    """

    low: FloatArray
    median: FloatArray
    high: FloatArray
    cpu_seconds: float = 0.0

    @classmethod
    def of(cls, points: FloatArray, probability: FloatArray | None = None) -> Estimate:
        """From points `b p`, equally probable by default."""
        weight = np.ones(len(points)) if probability is None else probability
        tail = (1 - s.SHARE) / 2
        # Of the methods of numpy this one alone takes weights.
        bounds = np.quantile(
            points, [tail, 0.5, 1 - tail], axis=0, weights=weight, method="inverted_cdf"
        )
        return cls(*bounds)


@dataclass(frozen=True)
class Estimators:
    """All that the estimates need, made once.

    training: states that the classical methods know; points: their parameters `s p`
    """

    run: Run
    pipeline: StatePipeline
    conditions: ConditionSettings
    expectation: Expectation
    training: State
    points: FloatArray

    @classmethod
    def of(cls, run: Run) -> Estimators:
        """Load the model and the training states. Raises `UserError` for one without conditions."""
        pipeline, conditions = run.pipeline(), run.settings.conditions
        if conditions is None or pipeline.expectation is None:
            raise UserError(
                f"{run.settings.name} is no model with conditions, so that no parameters can be "
                "inferred: give configs/quickstart.yaml"
            )
        known = spread_out(run.archive.indices("train"), MOST_TRAINING)
        space = pipeline.expectation.space
        points = space.point(Conditions.of(run.archive, known, conditions))
        training = run.archive.read(known)
        return cls(run, pipeline, conditions, pipeline.expectation, training, points)

    def true_point(self, index: int) -> FloatArray:
        """Parameters `p` of the state number `index` of the archive."""
        conditions = Conditions.of(self.run.archive, np.array([index]), self.conditions)
        return self.expectation.space.point(conditions)[0]

    def all(self, twin: Twin, *, seed: int) -> dict[str, Estimate]:
        """Every estimate from the observations of one state, by row."""
        return {
            s.PRIOR: self._prior(),
            s.NEAREST: _timed(lambda: self._nearest(twin)),
            s.INTERPOLATED: _timed(lambda: self._interpolated(twin, seed=seed)),
            s.OURS: _timed(lambda: self._ours(twin, seed=seed)),
        }

    def _prior(self) -> Estimate:
        """The middle of the range of the training members, in which our candidates lie a priori."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        tail = (1 - s.SHARE) / 2 * (high - low)
        return Estimate(low + tail, (low + high) / 2, high - tail)

    def _nearest(self, twin: Twin) -> Estimate:
        """The parameters of the training state that fits the observations best."""
        misfit = twin.observations.value - self._seen(twin)
        square = (misfit * np.linalg.solve(twin.covariance, misfit.T).T).sum(axis=1)
        return Estimate.of(self.points[[int(square.argmin())]])

    def _interpolated(self, twin: Twin, *, seed: int) -> Estimate:
        """Optimal interpolation of states that are augmented by their parameters."""
        ensemble = Ensemble(self.points, self._seen(twin))
        evidence = Evidence(twin.observations.value, twin.covariance)
        random = np.random.default_rng(seed)
        return Estimate.of(interpolated(ensemble, evidence, ensemble, random))

    def _ours(self, twin: Twin, *, seed: int) -> Estimate:
        posterior = posterior_of(self.run, self.pipeline, twin.evidence)
        trust = self.run.settings.assimilation.trust
        weighted = Inference(posterior, self.expectation, trust=trust).conditions({}, seed=seed)
        points = self.expectation.space.point(weighted.conditions)
        return Estimate.of(points, weighted.probability)

    def _seen(self, twin: Twin) -> FloatArray:
        seen: FloatArray = twin.operator(self.training).numpy()
        return seen


def _timed(make: Callable[[], Estimate]) -> Estimate:
    start = time.process_time()
    found = make()
    spent = time.process_time() - start
    return Estimate(found.low, found.median, found.high, spent)
