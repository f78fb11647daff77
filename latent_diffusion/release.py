"""Released models: self-contained folders with a model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from diffusers import ModelMixin

from data.parameters import unit_suffix
from guidance.climatology import CLIMATOLOGY, Climatology
from latent_diffusion.pipeline import StatePipeline
from training.log import write_json

CUSTOM_PIPELINE = "pipeline.py"
# All that `diffusers.DiffusionPipeline` executes of a model's folder, and only with
# `trust_remote_code`. Within `try`, diffusers does not ask to install packages of these names.
IMPORT = '''\
"""Tells diffusers that the class of this model is in Halocline, which must be installed."""

try:
    from latent_diffusion.pipeline import StatePipeline  # noqa: F401
except ImportError as error:
    raise ImportError("this model needs Halocline: install it from its repository") from error
'''


@dataclass(frozen=True)
class Release:
    """Metadata of a model's folder.

    title: heading of the model card
    archive: the training data
    experiment: all settings
    climatology: statistics of the data for guidance
    teacher: the run from which the model was distilled, if any
    """

    title: str
    archive: Path
    experiment: dict[str, Any]
    climatology: Callable[[], Climatology]
    teacher: Path | None = None


def save_model(pipeline: StatePipeline, release: Release, folder: Path) -> None:
    """Write pipeline, climatology, training YAML, model card and its import into `folder`."""
    # diffusers keeps the path that something was loaded from
    pipeline.register_to_config(_name_or_path="")
    for component in pipeline.components.values():
        if isinstance(component, ModelMixin):
            component.register_to_config(_name_or_path="")
    pipeline.save_pretrained(folder)
    write_json(folder / CLIMATOLOGY, {**release.climatology().as_dict()})
    settings = yaml.safe_dump(without_places(release.experiment), sort_keys=False)
    (folder / "experiment.yaml").write_text(settings)
    (folder / CUSTOM_PIPELINE).write_text(IMPORT)
    (folder / "README.md").write_text(model_card(pipeline, release))


def without_places(settings: Any) -> Any:
    """The settings with absolute paths cut to their names: a model says nothing about a disk."""
    if isinstance(settings, dict):
        return {key: without_places(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [without_places(value) for value in settings]
    is_place = isinstance(settings, str | Path) and Path(settings).is_absolute()
    return Path(settings).name if is_place else settings


def model_card(pipeline: StatePipeline, release: Release) -> str:
    """The model card: contents, training data and use, in Markdown."""
    codec = pipeline.codec
    levels, rows, columns = codec.grid.shape
    variables = "temperature, salinity" + ", sea level" * codec.config.ocean["sea_level"]
    archive, teacher = without_places([str(release.archive), str(release.teacher)])
    distilled = f", distilled from {teacher}" if release.teacher else ""
    return f"""# {release.title}

Generates ocean states ({variables}) on a grid of {levels} levels, {rows} rows and
{columns} columns, for the equation of state `{codec.config.ocean["equation_of_state"]}`.
Trained by Halocline on `{archive}`; the settings are in `experiment.yaml`.
Compression: {codec.compression:.1f} wet-cell values per latent value.
Sampling takes {pipeline.steps} steps{distilled}.
{_conditions(pipeline)}
    from latent_diffusion.pipeline import StatePipeline
    pipeline = StatePipeline.from_pretrained("this folder")
    states = pipeline(members=8, seed=0)  # an xarray.Dataset, guided and adjusted

All weights are safetensors; nothing is pickled.
"""


def _conditions(pipeline: StatePipeline) -> str:
    """A table of the conditions and their range, for a conditional model."""
    if pipeline.expectation is None:
        return ""
    space = pipeline.expectation.space
    rows = [
        f"| {name} | {space.low[name]:g} to {space.high[name]:g}"
        f"{unit_suffix(name, space.units)} | {scale} |"
        for name, scale in space.scales.items()
    ]
    rows += ["| season | 0 to 1, fraction of the year | periodic |"] * space.season
    rows += ["| age | years since the parameters changed; default: equilibrium | |"] * space.age
    members = len(pipeline.expectation.points)
    table = "\n".join(["| condition | training members | scale |", "|---|---|---|", *rows])
    return f"""
States are drawn at given conditions, learned from {members} members. Beyond the ranges of these a
state is an extrapolation.

{table}
"""
