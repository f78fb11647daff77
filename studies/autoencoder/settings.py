"""A study of autoencoders: variants of one experiment, trained at equal cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from configs.loading import checked, merged, read_experiment, read_settings
from configs.schema import Experiment
from data.settings import Section

EXAMPLE = "configs/studies/eddying_channel.yaml"
VariantName = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
GridSize = Annotated[int, Field(gt=0)]


class StudySettings(Section):
    """What a study's YAML may say. Unknown keys are refused."""

    base: Path = Field(description="YAML of the experiment that is varied, beside this one's")
    title: str = ""
    training_seconds: float = Field(
        gt=0, description="processor time of each variant's training steps"
    )
    cost_grid: tuple[GridSize, GridSize, GridSize] | None = Field(
        None, description="levels, rows, columns of an all-wet grid on which to measure cost too"
    )
    shown: tuple[VariantName, ...] = Field(
        (), description="variants whose spectra and profiles are drawn; all if none is named"
    )
    variants: dict[VariantName, dict[str, Any]] = Field(
        min_length=1, description="by name: settings that differ from the base's"
    )

    @model_validator(mode="after")
    def _shows_what_it_has(self) -> Self:
        unknown = [name for name in self.shown if name not in self.variants]
        if unknown:
            raise ValueError(f"shown names {', '.join(unknown)}, which are no variants")
        return self


@dataclass(frozen=True)
class CodecStudy:
    """A study that was checked: every variant is a complete experiment.

    directory: where the study's results go; each variant runs in a folder of its name in it
    """

    name: str
    settings: StudySettings
    base: Experiment
    directory: Path
    variants: dict[str, Experiment]


def load_study(path: Path, overrides: Sequence[str] = ()) -> CodecStudy:
    """Read a study, merge each variant into the base experiment, and check them all.

    `overrides` are of the study's own settings, such as `--training_seconds 60`. Raises `UserError`
    for unknown keys or wrong values, in the study or in what a variant makes of the base.
    """
    own_settings = read_settings(path, overrides)
    settings = checked(own_settings, StudySettings, source=str(path), example=EXAMPLE)
    base_path = path.parent / settings.base
    content = read_experiment(base_path)
    base = checked(content, Experiment, source=str(base_path))
    directory = base.run_directory.parent / "studies" / path.stem
    variants = {}
    for name, changes in settings.variants.items():
        own = {"name": name, "run_directory": directory / name}
        variants[name] = checked(
            merged(content, changes) | own, Experiment, source=f"{path}, variant {name}"
        )
    return CodecStudy(path.stem, settings, base, directory, variants)
