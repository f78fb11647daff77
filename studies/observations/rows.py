"""The methods of the study: states that each gives for one truth and its observations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from autoencoder.passing import decoded, encoded, reconstructed
from configs.given import posterior_of
from configs.run import Run
from data.archive.splits import spread_out
from data.conditions import Conditions
from data.locate import Locator
from data.state import State
from guidance.guide import Guide
from guidance.seawater import EquationOfState, equation_of_state
from guidance.stratification import adjust
from latent_diffusion.inference import Inference
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.posterior import LatentPosterior
from studies.conditional.cells import Cells, FloatArray
from studies.observations import settings as s
from studies.observations.classical import (
    Ensemble,
    Evidence,
    Localisation,
    column_of_values,
    interpolated,
    leading_components,
    smoothed,
    smoother_class,
)
from studies.observations.networks import Twin
from studies.observations.noise import ChainInputs
from studies.twins import Row, timed

AT_ONCE = 32  # states that are encoded or decoded together, if they are not large
MOST_TRAINING = 512  # states that span the covariance


@dataclass(frozen=True)
class Methods:
    """All that the methods need, made once.

    training: states that the classical methods know
    """

    run: Run
    settings: s.TwinSettings
    pipeline: StatePipeline
    training: State

    @classmethod
    def of(cls, run: Run, settings: s.TwinSettings) -> Methods:
        """Load the model and the training states. Raises `UserError` if a package is missing."""
        if {s.SMOOTHED_FIELDS, s.SMOOTHED_LATENTS, s.SMOOTHED_NOISE} & set(settings.only):
            smoother_class()
        known = spread_out(run.archive.indices("train"), MOST_TRAINING)
        methods = cls(run, settings, run.pipeline(), run.archive.read(known))
        methods._prepare()
        return methods

    def _prepare(self) -> None:
        """Make what all truths share, so that it is in the time of none."""
        _ = self._vectors, self._cells.weights
        if s.SMOOTHED_LATENTS in self.settings.only:
            _ = self._latents

    def without_observations(self, truth: State, index: int, *, seed: int) -> Iterator[Row]:
        """Rows that see no observations: of the state `truth`, number `index` of the archive."""
        yield from self._made(
            {
                s.PRIOR: lambda: self._drawn(self._known(index), None, seed=seed),
                s.CLIMATOLOGY: lambda: _at(self.training, self._picked(seed)),
                s.RECONSTRUCTED: lambda: self._reconstructed(truth),
            }
        )

    def given(self, twin: Twin, index: int, *, seed: int) -> Iterator[Row]:
        """Rows that see the observations of the state number `index` of the archive."""
        evidence = Evidence(twin.observations.value, twin.covariance)
        yield from self._made(
            {
                s.INTERPOLATED: lambda: self._interpolated(twin, evidence, seed=seed),
                s.LOCALISED: lambda: self._localised(twin, evidence, seed=seed),
                s.SMOOTHED_FIELDS: lambda: self._smoothed_fields(twin, evidence, seed=seed),
                s.SMOOTHED_LATENTS: lambda: self._smoothed_latents(twin, evidence, seed=seed),
                s.SMOOTHED_NOISE: lambda: self._smoothed_noise(twin, evidence, seed=seed),
            }
        )
        yield from self._ours(twin, index, seed=seed)

    def _made(self, makers: dict[str, Callable[[], State]]) -> Iterator[Row]:
        for name, make in makers.items():
            if name in self.settings.only:
                yield timed(name, make)

    def _ours(self, twin: Twin, index: int, *, seed: int) -> Iterator[Row]:
        posterior = self._posterior(twin)
        if {s.UNKNOWN, s.GUIDED} & set(self.settings.only):
            start = time.process_time()
            conditions = self._inferred(posterior, seed=seed)
            spent = time.process_time() - start
        if s.UNKNOWN in self.settings.only:
            yield timed(
                s.UNKNOWN, lambda: self._drawn(conditions, posterior, seed=seed), before=spent
            )
        if s.GUIDED in self.settings.only:
            yield timed(
                s.GUIDED, lambda: self._adjusted(conditions, posterior, seed=seed), before=spent
            )
        known = self._known(index)
        if s.KNOWN in self.settings.only and known is not None:
            yield timed(s.KNOWN, lambda: self._drawn(known, posterior, seed=seed))

    # Classical methods

    @cached_property
    def _cells(self) -> Cells:
        return Cells.of(self.training, self.run.archive.grid)

    @cached_property
    def _vectors(self) -> FloatArray:
        return self._cells.vectors(self.training)

    def _picked(self, seed: int, count: int | None = None) -> NDArray[np.int64]:
        """Random training states, as many as members by default; more begin with these."""
        order = np.random.default_rng(seed).permutation(len(self.training))
        wanted = count or self.settings.members
        return np.resize(order, wanted) if wanted > len(order) else order[:wanted]

    def _seen(self, twin: Twin) -> FloatArray:
        seen: FloatArray = twin.operator(self.training).numpy()
        return seen

    def _interpolated(self, twin: Twin, evidence: Evidence, *, seed: int) -> State:
        ensemble = Ensemble(self._vectors, self._seen(twin))
        components = leading_components(ensemble, self._cells.weights, share=s.COMPONENTS_SHARE)
        return self._moved(ensemble, components, evidence, None, seed=seed)

    def _localised(self, twin: Twin, evidence: Evidence, *, seed: int) -> State:
        ensemble = Ensemble(self._vectors, self._seen(twin))
        grid, observed = self.run.archive.grid, twin.observations
        cells, column = column_of_values(grid, fields=2)
        localisation = Localisation(
            cells,
            column,
            np.stack([observed.longitude, observed.latitude]),
            self.settings.localisation_km,
            Locator(grid),
        )
        return self._moved(ensemble, ensemble, evidence, localisation, seed=seed)

    def _moved(
        self,
        ensemble: Ensemble,
        prior: Ensemble,
        evidence: Evidence,
        localisation: Localisation | None,
        *,
        seed: int,
    ) -> State:
        picked = self._picked(seed)
        first = Ensemble(ensemble.vectors[picked], ensemble.seen[picked])
        random = np.random.default_rng(seed)
        vectors = interpolated(first, evidence, prior, random, localisation=localisation)
        return self._cells.states(vectors)

    def _smoothed_fields(self, twin: Twin, evidence: Evidence, *, seed: int) -> State:
        def observe(vectors: FloatArray) -> FloatArray:
            return twin.operator(self._cells.states(vectors)).numpy()

        picked = self._picked(seed, self._smoother_members)
        vectors = smoothed(self._vectors[picked], observe, evidence, passes=s.PASSES, seed=seed)
        return self._cells.states(vectors[: self.settings.members])

    def _smoothed_latents(self, twin: Twin, evidence: Evidence, *, seed: int) -> State:
        shape = self.pipeline.codec.latent_shape

        def latents(vectors: FloatArray) -> torch.Tensor:
            return torch.from_numpy(vectors).float().view(-1, *shape)

        def observe(vectors: FloatArray) -> FloatArray:
            parts = decoded(self.pipeline.codec, latents(vectors), at_once=AT_ONCE)
            return np.concatenate([twin.operator(one).numpy() for one in parts])

        picked = self._picked(seed, self._smoother_members)
        first = self._latents[picked].flatten(1).double().numpy()
        vectors = smoothed(first, observe, evidence, passes=s.PASSES, seed=seed)
        members = latents(vectors[: self.settings.members])
        return State.cat([*decoded(self.pipeline.codec, members, at_once=len(members))])

    def _smoothed_noise(self, twin: Twin, evidence: Evidence, *, seed: int) -> State:
        inputs = ChainInputs(self.pipeline, self.pipeline.steps)

        def observe(vectors: FloatArray) -> FloatArray:
            parts = (vectors[at : at + AT_ONCE] for at in range(0, len(vectors), AT_ONCE))
            return np.concatenate([twin.operator(inputs.states(part)).numpy() for part in parts])

        first = inputs.prior(self._smoother_members, seed=seed)
        vectors = smoothed(first, observe, evidence, passes=s.PASSES, seed=seed)
        return inputs.states(vectors[: self.settings.members])

    @property
    def _smoother_members(self) -> int:
        most = min(self.settings.smoother_members, len(self.training))
        return max(most, self.settings.members)

    @cached_property
    def _latents(self) -> torch.Tensor:
        """Latents of the training states."""
        return torch.cat([*encoded(self.pipeline.codec, self.training, at_once=AT_ONCE)])

    # Ours

    def _reconstructed(self, truth: State) -> State:
        return State.cat([*reconstructed(self.pipeline.codec, truth)])

    def _posterior(self, twin: Twin) -> LatentPosterior:
        return posterior_of(self.run, self.pipeline, twin.evidence)

    def _known(self, index: int) -> Conditions | None:
        """The conditions of a state of the archive for each member; None for a model without."""
        settings = self.run.settings.conditions
        if settings is None:
            return None
        rows = np.full(self.settings.members, index)
        return Conditions.of(self.run.archive, rows, settings)

    def _inferred(self, posterior: LatentPosterior, *, seed: int) -> Conditions | None:
        """Conditions of the members, drawn given the observations."""
        if self.pipeline.expectation is None:
            return None
        inference = Inference(
            posterior, self.pipeline.expectation, trust=self.run.settings.assimilation.trust
        )
        weighted = inference.conditions({}, seed=seed)
        return weighted.drawn(self.settings.members, seed=seed)

    def _drawn(
        self,
        conditions: Conditions | None,
        posterior: LatentPosterior | None,
        *,
        seed: int,
        guide: Guide | None = None,
    ) -> State:
        generators = [member_generator(seed, one) for one in range(self.settings.members)]
        output = self.pipeline.draw(
            generators=generators,
            steps=self.settings.steps if posterior else None,
            guide=guide,
            conditions=conditions,
            posterior=posterior,
        )
        return output.state

    def _adjusted(
        self, conditions: Conditions | None, posterior: LatentPosterior, *, seed: int
    ) -> State:
        guide = self.run.guide(self.pipeline.codec)
        states = self._drawn(conditions, posterior, seed=seed, guide=guide)
        return adjust(states, eos=self.eos, grid=self.run.archive.grid)

    @cached_property
    def eos(self) -> EquationOfState:
        """The equation of state of the data."""
        return equation_of_state(self.run.archive.equation_of_state)


def _at(states: State, rows: NDArray[np.int64]) -> State:
    return states.map(lambda field: field[torch.from_numpy(rows)])
