"""Variants of an experiment, each a complete experiment with its own run directory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from configs.loading import checked, merged, read_experiment
from configs.schema import Experiment
from configs.shipped import base_file
from data.errors import UserError

VariantName = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


def variant_experiments(
    base: Path,
    changes: Mapping[str, dict[str, Any]],
    *,
    directory: Path,
    source: Path,
    common: dict[str, Any] | None = None,
) -> dict[str, Experiment]:
    """The variants of the experiment in `base` by name, validated.

    changes: settings that differ from the base, by variant; its key `base` names another base,
    relative to `source`, the file of the study. common: settings of all variants that differ from
    their base. directory: holds the run directories. Raises `UserError` for unknown keys or wrong
    values.
    """
    variants = {}
    for name, own in changes.items():
        settings = dict(own)
        path = base_file(settings.pop("base"), of=source) if "base" in settings else base
        content = merged(merged(read_experiment(path), common or {}), settings)
        place = {"name": name, "run_directory": directory / name}
        variants[name] = checked(content | place, Experiment, source=f"{source}, variant {name}")
    return variants


def chosen_variants(variants: Collection[str], only: Sequence[str]) -> list[str]:
    """The variants named in `only`, in the order of the study; all if it is empty.

    Raises `UserError` for an unknown name.
    """
    unknown = sorted(set(only) - set(variants))
    if unknown:
        raise UserError(
            f"the study has no variant {', '.join(unknown)}; it has {', '.join(variants)}"
        )
    return [name for name in variants if name in only or not only]
