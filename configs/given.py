"""States of a run's ocean given what is known of one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from autoencoder.locality import latent_tapers
from configs.run import Run
from data.conditions import Conditions
from data.errors import UserError
from data.points import read_points
from latent_diffusion.inference import Inference, Weighted
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.points import conditions_at
from latent_diffusion.posterior import Evidence, LatentPosterior
from latent_diffusion.sample import Ensemble
from training.launch import of_main_process


class Given(ABC):
    """What is known of a state, and the ensemble of states that agree with it.

    run: whose model draws the states
    """

    run: Run

    @abstractmethod
    def evidence(self, pipeline: StatePipeline) -> Evidence:
        """What is known, with its errors."""

    @property
    @abstractmethod
    def record(self) -> dict[str, object]:
        """What determines the states beside the model."""

    def posterior(self, pipeline: StatePipeline) -> LatentPosterior:
        """How clean estimates of the pipeline move."""
        return posterior_of(self.run, pipeline, self.evidence(pipeline))

    def conditions(
        self, pipeline: StatePipeline, at: Sequence[str], *, members: int, extrapolate: bool
    ) -> tuple[Conditions | None, Weighted | None]:
        """Conditions of each member, and the candidates that unknown ones were drawn from.

        at: the known ones, as `data.points.read_points` takes them
        """
        expectation, seed = pipeline.expectation, self.run.settings.sampling.seed
        if expectation is None:
            if at:
                raise UserError(
                    f"{self.run.settings.name} has no section conditions, so that --at says nothing"
                )
            return None, None
        points = read_points(at) if at else [{}]
        if len(points) > 1:
            raise UserError("what is known is of one state: give --at for one point")
        known = conditions_at(
            points, expectation=expectation, members=members, seed=seed, extrapolate=extrapolate
        )
        if set(expectation.space.names) <= points[0].keys():
            return known, None
        # Without tapers: with them the probabilities of thousands of candidates take minutes.
        inference = Inference(
            self.posterior(pipeline), expectation, trust=self.run.settings.assimilation.trust
        )
        weighted = of_main_process(inference.conditions(points[0], seed=seed))
        return weighted.drawn(members, seed=seed), weighted

    def ensemble(self, *, guided: bool, conditions: Conditions | None) -> Ensemble:
        """The ensemble of states given what is known."""
        return self._ensemble(self.record, guided=guided, conditions=conditions)

    def _ensemble(
        self, record: dict[str, object], *, guided: bool, conditions: Conditions | None
    ) -> Ensemble:
        settings = self.run.settings
        sampling = settings.sampling.model_copy(update={"steps": settings.assimilation.steps})
        run = self.run.with_settings(sampling=sampling)
        prior = run.ensemble(guided=guided, conditions=conditions)
        whole = run.sampling_record(guided=guided, conditions=conditions, observed=record)
        return replace(prior, posterior=self.posterior, record=whole)


def posterior_of(run: Run, pipeline: StatePipeline, evidence: Evidence) -> LatentPosterior:
    """How clean estimates of a run's pipeline move, by its settings, given what was observed."""
    expectation, settings = pipeline.expectation, run.settings.assimilation
    distance, tapers = settings.localisation_km, None
    if distance is not None and expectation is not None:
        tapers = latent_tapers(pipeline.codec, distance)
    return LatentPosterior(
        pipeline.codec,
        pipeline.gaussian,
        evidence,
        scale=1.0 if expectation is None else expectation.scale,
        inflation=settings.prior_inflation,
        iterations=settings.denoiser_iterations,
        tapers=tapers,
    )
