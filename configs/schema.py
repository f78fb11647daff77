"""The settings of an experiment. Unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from autoencoder.settings import AutoencoderSettings
from data.basin.design import EnsembleSettings
from data.conditions import ConditionSettings
from data.ingest_settings import IngestSettings
from data.settings import Section, UserPath
from data.shipped import to_read
from guidance.settings import GuidanceSettings
from guidance.term_settings import MeanSettings
from integration.settings import IntegrationSettings
from latent_diffusion.settings import (
    AssimilationSettings,
    DiffusionSettings,
    DistillationSettings,
    SamplingSettings,
)

SOURCES = ("ensemble", "ingest")


class DataSettings(Section):
    """The state archive of the experiment, and how to make it if it is missing."""

    archive: UserPath = Field(description="state archive: a zarr folder or a .zarr.zip")
    ensemble: EnsembleSettings | None = Field(None, description="settings of `halocline simulate`")
    ingest: IngestSettings | None = Field(None, description="settings of `halocline ingest`")

    @property
    def stored(self) -> Path:
        """The archive to read: at its path, or else the shipped one of that name."""
        return to_read(self.archive)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"an archive has one source, but {' and '.join(given)} are given")
        return self


class EvaluationSettings(Section):
    """What a run is judged with."""

    states: int = Field(64, gt=0, description="maximum number of truth states")
    seeds: int = Field(
        1,
        gt=0,
        description="ensembles of generated states that are judged, from sampling.seed on; with "
        "several, tables give mean and standard deviation, and a fit verdict needs all of them",
    )


class BenchmarkSettings(Section):
    """The grid of cost measurements, and variants of the experiment to compare."""

    grid: tuple[int, int, int] = Field(
        description="levels, rows and columns of a grid without land"
    )
    sea_level: bool = False
    periodic_x: bool = True
    variants: dict[str, dict[str, Any]] = Field(
        {}, description="variants by name, each with the settings that differ"
    )


class Experiment(Section):
    """One complete, runnable experiment."""

    name: str
    title: str = ""
    run_directory: UserPath
    data: DataSettings
    autoencoder: AutoencoderSettings
    diffusion: DiffusionSettings
    conditions: ConditionSettings | None = Field(
        None, description="what states depend on; none: all are drawn alike"
    )
    distillation: DistillationSettings | None = None
    sampling: SamplingSettings = SamplingSettings()
    guidance: GuidanceSettings = GuidanceSettings()
    assimilation: AssimilationSettings = AssimilationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    integration: IntegrationSettings | None = None
    benchmark: BenchmarkSettings | None = None

    @model_validator(mode="after")
    def _guidance_knows_the_conditions(self) -> Self:
        if self.conditions and any(isinstance(term, MeanSettings) for term in self.guidance.terms):
            raise ValueError(
                "guidance towards the training states' mean profiles would draw states at all "
                "conditions to the same climate: remove such terms, or the section conditions"
            )
        return self

    @model_validator(mode="after")
    def _distillation_fits(self) -> Self:
        distillation, steps = self.distillation, self.sampling.steps
        if distillation is None:
            return self
        if distillation.teacher == self.run_directory:
            raise ValueError(
                f"the run directory {self.run_directory} is the teacher's: "
                "the student needs its own"
            )
        if distillation.teacher_steps % steps or distillation.teacher_steps == steps:
            raise ValueError(
                f"distillation.teacher_steps {distillation.teacher_steps} is not a multiple of "
                f"sampling.steps {steps}"
            )
        return self
