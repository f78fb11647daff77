"""A study of autoencoders: variants of one experiment, trained at equal cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from configs.loading import load_experiment, load_settings
from configs.schema import Experiment
from configs.shipped import base_file, config_file
from data.settings import Section
from studies.variants import VariantName, variant_experiments

EXAMPLE = "configs/studies/eddying_channel.yaml"
GridSize = Annotated[int, Field(gt=0)]


class StudySettings(Section):
    """Settings of a study of autoencoders."""

    base: Path = Field(description="YAML of the base experiment, relative to this file")
    title: str = ""
    training_seconds: float = Field(
        gt=0, description="processor time of the training steps of each variant"
    )
    cost_grid: tuple[GridSize, GridSize, GridSize] | None = Field(
        None,
        description="levels, rows and columns of an additional all-wet grid to measure cost on",
    )
    shown: tuple[VariantName, ...] = Field(
        (), description="variants in the figures of spectra and profiles; default: all"
    )
    variants: dict[VariantName, dict[str, Any]] = Field(
        min_length=1, description="settings that differ from the base experiment, by variant"
    )

    @model_validator(mode="after")
    def _shown_variants_exist(self) -> Self:
        unknown = [name for name in self.shown if name not in self.variants]
        if unknown:
            raise ValueError(f"shown contains unknown variants: {', '.join(unknown)}")
        return self


@dataclass(frozen=True)
class CodecStudy:
    """A validated study: every variant is a complete experiment.

    directory: holds the study's results and one run directory per variant
    """

    name: str
    settings: StudySettings
    base: Experiment
    directory: Path
    variants: dict[str, Experiment]


def load_study(path: Path, overrides: Sequence[str] = ()) -> CodecStudy:
    """Read a study, merge each variant into the base experiment, and validate all.

    overrides: settings of the study, such as `--training_seconds 60`. Raises `UserError` for
    unknown keys or wrong values in the study or a variant.
    """
    path = config_file(path)
    settings = load_settings(path, StudySettings, overrides, example=EXAMPLE)
    base_path = base_file(settings.base, of=path)
    base = load_experiment(base_path)
    directory = base.run_directory.parent / "studies" / path.stem
    variants = variant_experiments(base_path, settings.variants, directory=directory, source=path)
    return CodecStudy(path.stem, settings, base, directory, variants)
