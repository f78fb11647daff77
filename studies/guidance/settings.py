"""Settings of a study of guidance: several methods applied to the same trained networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from configs.loading import checked, load_settings, merged, read_experiment
from configs.schema import Experiment
from configs.shipped import base_file, config_file
from data.errors import UserError
from data.settings import Section

EXAMPLE = "configs/studies/guidance_quickstart.yaml"
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


class Method(Section):
    """A guidance method: settings of the section `guidance`, optionally a sweep of one of them."""

    title: str = ""
    guidance: dict[str, Any] = Field({}, description="settings that differ from the defaults")
    sweep: dict[str, list[Any]] = Field({}, description="one setting and its values")

    @model_validator(mode="after")
    def _one_sweep(self) -> Self:
        if len(self.sweep) > 1 or any(not values for values in self.sweep.values()):
            raise ValueError("a sweep has exactly one setting and at least one value")
        return self

    def with_values(self, values: list[Any]) -> Method:
        """The method with other values for its sweep."""
        return self.model_copy(update={"sweep": {name: values for name in self.sweep}})

    def label(self, value: object) -> str:
        """Label of the point at a value of the sweep."""
        return f"{next(iter(self.sweep))}={value}"

    def settings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Label (`setting=value`, or empty without a sweep) and settings of each point."""
        if not self.sweep:
            yield "", self.guidance
        for name, values in self.sweep.items():
            for value in values:
                yield self.label(value), self.guidance | {name: value}


class GuidanceStudySettings(Section):
    """Settings of a study of guidance."""

    title: str = ""
    spaces: dict[Name, Path] = Field(
        min_length=1, description="YAML of each trained experiment by name, relative to this file"
    )
    methods: Path = Field(description="YAML of the methods, relative to this file")
    sweeps: dict[Name, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="values that replace the sweep of a method, by method"
    )
    shown: dict[Name, dict[Name, Any]] = Field(
        {}, description="value of the sweep that short tables show, by space and method"
    )
    members: int = Field(64, gt=1, description="states generated at each point")
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1)

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must be distinct; equal seeds give equal ensembles")
        return self


class Methods(Section):
    """A YAML of methods."""

    methods: dict[Name, Method] = Field(min_length=1)


@dataclass(frozen=True)
class Point:
    """One ensemble: a method with its settings, a space and a seed."""

    space: str
    method: str
    label: str
    seed: int
    experiment: Experiment

    @property
    def name(self) -> str:
        """Base name of the point's files."""
        parts = (self.space, self.method, self.label, f"seed_{self.seed}")
        return re.sub(r"[^\w.=-]+", "_", "-".join(part for part in parts if part))


@dataclass(frozen=True)
class GuidanceStudy:
    """A validated study: every point is a complete experiment."""

    name: str
    settings: GuidanceStudySettings
    directory: Path
    methods: dict[str, Method]
    points: list[Point]

    @property
    def shown(self) -> dict[str, dict[str, str]]:
        """Labels of the points that short tables show, by space and method."""
        return {
            space: {name: self.methods[name].label(value) for name, value in chosen.items()}
            for space, chosen in self.settings.shown.items()
        }


def load_guidance_study(path: Path, overrides: Sequence[str] = ()) -> GuidanceStudy:
    """Read a study with its methods and experiments, and validate every point.

    Raises `UserError` for unknown keys or wrong values in any of the files.
    """
    path = config_file(path)
    settings = load_settings(path, GuidanceStudySettings, overrides, example=EXAMPLE)
    methods_path = base_file(settings.methods, of=path)
    methods = checked(
        {"methods": read_experiment(methods_path)},
        Methods,
        source=str(methods_path),
        example=EXAMPLE,
    ).methods
    methods |= {
        name: _swept(methods, name, values, source=str(path))
        for name, values in settings.sweeps.items()
    }
    for shown in settings.shown.values():
        _check_shown(shown, methods, source=str(path))
    points: list[Point] = []
    for space, base in settings.spaces.items():
        content = read_experiment(base_file(base, of=path))
        points.extend(
            Point(space, name, label, seed, _experiment(content, changes, settings, seed, source))
            for name, method in methods.items()
            for label, changes in method.settings()
            for source in [f"{methods_path}, method {name} {label}".rstrip()]
            for seed in settings.seeds
        )
    directory = points[0].experiment.run_directory.parent / "studies" / path.stem
    return GuidanceStudy(path.stem, settings, directory, methods, points)


def _check_shown(shown: dict[str, Any], methods: dict[str, Method], *, source: str) -> None:
    """Raise `UserError` if a shown value is not part of the method's sweep."""
    for name, value in shown.items():
        method = methods.get(name, Method())
        swept = [value for values in method.sweep.values() for value in values]
        if value not in swept:
            raise UserError(
                f"{source}: shown has {name} at {value}, but its sweep has "
                f"{', '.join(map(str, swept)) or 'no values'}"
            )


def _swept(methods: dict[str, Method], name: str, values: list[Any], *, source: str) -> Method:
    """A method with the study's values for its sweep."""
    if name not in methods or not methods[name].sweep:
        swept = ", ".join(known for known, method in methods.items() if method.sweep)
        raise UserError(f"{source}: sweeps.{name} is not a method with a sweep; use {swept}")
    return methods[name].with_values(values)


def _experiment(
    content: dict[str, Any],
    guidance: dict[str, Any],
    settings: GuidanceStudySettings,
    seed: int,
    source: str,
) -> Experiment:
    """The trained experiment with the guidance and sampling of a point."""
    sampling = {"sampling": {"members": settings.members, "seed": seed}}
    changed = merged(content, sampling) | {"guidance": guidance}
    return checked(changed, Experiment, source=source)
