"""Settings of a study of designs: variants of an experiment, each trained as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from configs.loading import load_experiment, load_settings
from configs.schema import Experiment
from configs.shipped import base_file, config_file
from data.errors import UserError
from data.settings import Section
from studies.variants import VariantName, variant_experiments
from training.plan import TrainingPlan

EXAMPLE = "configs/studies/compression_eddying_channel.yaml"


class CompressionStudySettings(Section):
    """Settings of a study of designs."""

    base: Path = Field(description="YAML of the base experiment, relative to this file")
    title: str = ""
    training_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of each variant's training samples that is used, for a first pass",
    )
    common: dict[str, Any] = Field(
        {}, description="settings of all variants that differ from their base"
    )
    variants: dict[VariantName, dict[str, Any]] = Field(
        min_length=1,
        description="settings that differ from the base experiment, by variant; its key base names "
        "another base experiment",
    )


@dataclass(frozen=True)
class CompressionStudy:
    """A validated study: every variant is a complete experiment on the same states.

    directory: holds the study's results and one run directory per variant
    """

    settings: CompressionStudySettings
    base: Experiment
    directory: Path
    variants: dict[str, Experiment]


def load_compression_study(path: Path, overrides: Sequence[str] = ()) -> CompressionStudy:
    """Read a study, merge each variant into its base experiment, and validate all.

    overrides: settings of the study, such as `--training_share 0.1`; each share has its own
    directory. Raises `UserError` for unknown keys or wrong values in the study or a variant, and
    for a variant with other data than the base.
    """
    path = config_file(path)
    settings = load_settings(path, CompressionStudySettings, overrides, example=EXAMPLE)
    base_path = base_file(settings.base, of=path)
    base = load_experiment(base_path)
    share = settings.training_share
    folder = path.stem if share == 1 else f"{path.stem}_share_{share:g}"
    directory = base.run_directory.parent / "studies" / folder
    variants = variant_experiments(
        base_path, settings.variants, directory=directory, source=path, common=settings.common
    )
    for name, experiment in variants.items():
        if experiment.data != base.data:
            raise UserError(
                f"{path}, variant {name}: its section data differs from that of {base_path}; all "
                "variants are judged on the same states"
            )
    shortened = {name: shorten(experiment, share=share) for name, experiment in variants.items()}
    return CompressionStudy(settings, base, directory, shortened)


def shorten(experiment: Experiment, *, share: float) -> Experiment:
    """The experiment with a share of the training samples of both stages, in whole batches."""
    autoencoder, diffusion = experiment.autoencoder, experiment.diffusion
    plans = [_shortened(stage.training, share) for stage in (autoencoder, diffusion)]
    return experiment.model_copy(
        update={
            "autoencoder": autoencoder.model_copy(update={"training": plans[0]}),
            "diffusion": diffusion.model_copy(update={"training": plans[1]}),
        }
    )


def _shortened(plan: TrainingPlan, share: float) -> TrainingPlan:
    if share == 1:
        return plan
    batches = max(1, round(share * plan.samples / plan.batch_size))
    warm_up = max(1, round(share * plan.warmup_samples))
    return plan.model_copy(update={"samples": batches * plan.batch_size, "warmup_samples": warm_up})
