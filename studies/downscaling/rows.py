"""The rows of the study: states that each method gives for the means of one truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from autoencoder.passing import reconstructed
from configs.run import Run
from configs.translation import Translation, both
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.conditions import Conditions
from data.parameters import AGE
from data.state import State
from guidance.seawater import EquationOfState, equation_of_state
from guidance.stratification import adjust
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.posterior import LatentPosterior
from latent_diffusion.start import Start
from studies.conditional.cells import Cells, FloatArray
from studies.downscaling import settings as s
from studies.twins import Row, timed

MOST_TRAINING = 512  # states that the classical methods know


@dataclass(frozen=True)
class Methods:
    """All that the methods need for the means of one truth.

    index: number of the truth in the run's archive; pipeline: the trained model
    """

    run: Run
    settings: s.DownscalingSettings
    pipeline: StatePipeline
    translation: Translation
    index: int

    @classmethod
    def of(
        cls,
        run: Run,
        settings: s.DownscalingSettings,
        pipeline: StatePipeline,
        *,
        coarse: StateArchive,
        number: int,
        index: int,
    ) -> Methods:
        """For the state `number` of the coarse archive, which is the state `index` of the run's."""
        return cls(run, settings, pipeline, Translation.of(run, coarse, state=number), index)

    def rows(self) -> Iterator[Row]:
        """All rows that are asked for; what they share is made before, in the time of none."""
        _ = self._seen, self.translation.regridded
        if {s.UNKNOWN, s.GUIDED, s.KNOWN} & set(self.settings.only):
            self.translation.evidence(self.pipeline)
        if {s.UNKNOWN, s.GUIDED} & set(self.settings.only):
            _ = self._inferred
        makers: dict[str, Callable[[], State]] = {
            s.INTERPOLATED: lambda: self.translation.regridded.state,
            s.ADJUSTED: lambda: self.adjusted(self.translation.regridded.state),
            s.NEAREST: self._nearest,
            s.GAUSSIAN: self._gaussian,
            s.UNKNOWN: lambda: self.given_means(self._inferred),
            s.GUIDED: lambda: self.adjusted(self.given_means(self._inferred, guided=True)),
            s.RECONSTRUCTED: self.reconstructed,
        }
        if self.known is not None:
            makers[s.KNOWN] = lambda: self.given_means(self.known)
        for name, make in makers.items():
            if name in self.settings.only:
                yield timed(name, make)

    @cached_property
    def errors(self) -> Tensor:
        """Standard deviation of the means `n`."""
        return self.translation.errors(self.pipeline.codec)

    @cached_property
    def _eos(self) -> EquationOfState:
        return equation_of_state(self.run.archive.equation_of_state)

    def adjusted(self, states: State) -> State:
        """The states after exact convective adjustment."""
        return adjust(states, eos=self._eos, grid=self.run.archive.grid)

    @cached_property
    def _training(self) -> State:
        archive = self.run.archive
        return archive.read(spread_out(archive.indices("train"), MOST_TRAINING))

    @cached_property
    def _seen(self) -> FloatArray:
        """Means of the training states over the errors, minus those of the truth, `m n`."""
        difference = both(self.translation.blocks, self._training) - self.translation.value
        scaled: FloatArray = (difference / self.errors).numpy()
        return scaled

    def _nearest(self) -> State:
        best = int(np.square(self._seen).sum(axis=1).argmin())
        return self._training.map(lambda field: field[best : best + 1])

    def _gaussian(self) -> State:
        """States of a normal distribution with the training states' mean and covariance.

        Given the means: x = mean + w' A with anomalies A, and w normal with the precision
        (m - 1) + S S', where S are anomalies of the means over their errors.
        """
        cells = Cells.of(self._training, self.run.archive.grid)
        vectors = cells.vectors(self._training)
        anomalies, seen = vectors - vectors.mean(axis=0), self._seen - self._seen.mean(axis=0)
        count = len(vectors)
        precision = (count - 1) * np.eye(count) + seen @ seen.T
        root = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, -seen @ self._seen.mean(axis=0))
        random = np.random.default_rng(self.settings.seed)
        noise = random.normal(size=(count, self.settings.members))
        weights = mean[:, None] + np.linalg.solve(root.T, noise)
        return cells.states(vectors.mean(axis=0) + weights.T @ anomalies)

    @cached_property
    def known(self) -> Conditions | None:
        """Conditions of the truth for each member; None for a model without."""
        settings = self.run.settings.conditions
        if settings is None:
            return None
        rows = np.full(self.settings.members, self.index)
        return Conditions.of(self.run.archive, rows, settings)

    @cached_property
    def _inferred(self) -> Conditions | None:
        """Parameters and season from the means; who has the source knows how old it is."""
        expectation, known = self.pipeline.expectation, []
        if expectation is not None and expectation.space.age:
            known = [f"{AGE}={float(self.run.archive.parameters[AGE][self.index])!r}"]
        conditions, _ = self.translation.conditions(
            self.pipeline, known, members=self.settings.members, extrapolate=False
        )
        return conditions

    def given_means(self, conditions: Conditions | None, *, guided: bool = False) -> State:
        """States whose means are those of the truth."""
        posterior = self.translation.posterior(self.pipeline)
        return self.drawn(conditions, guided=guided, posterior=posterior)

    def drawn(
        self,
        conditions: Conditions | None,
        *,
        guided: bool,
        posterior: LatentPosterior | None = None,
        start: Start | None = None,
    ) -> State:
        """States of the model at the conditions of each member; see `StatePipeline.draw`."""
        codec = self.pipeline.codec
        seed = self.settings.seed
        generators = [member_generator(seed, k) for k in range(self.settings.members)]
        drawn = self.pipeline.draw(
            generators=generators,
            steps=self.settings.steps,
            guide=self.run.guide(codec) if guided else None,
            conditions=conditions,
            posterior=posterior,
            start=start,
        )
        return drawn.state.map(Tensor.cpu)

    def reconstructed(self) -> State:
        """The truth, encoded and decoded."""
        (found,) = reconstructed(self.pipeline.codec, self.run.archive.read([self.index]))
        return found
