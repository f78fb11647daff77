"""A study of guidance: the same trained networks, steered by one method after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from configs.loading import checked, merged, read_experiment, read_settings
from configs.schema import Experiment
from data.errors import UserError
from data.settings import Section

EXAMPLE = "configs/studies/guidance_quickstart.yaml"
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


class Method(Section):
    """A way to guide: settings of the section `guidance`, one of them at several values."""

    title: str = ""
    guidance: dict[str, Any] = Field({}, description="what differs from the schema's defaults")
    sweep: dict[str, list[Any]] = Field({}, description="one setting and the values that it takes")

    @model_validator(mode="after")
    def _one_sweep(self) -> Self:
        if len(self.sweep) > 1 or any(not values for values in self.sweep.values()):
            raise ValueError("a sweep is of one setting and has at least one value")
        return self

    def with_values(self, values: list[Any]) -> Method:
        """The method with other values of its sweep."""
        return self.model_copy(update={"sweep": {name: values for name in self.sweep}})

    def label(self, value: object) -> str:
        """How the point at a value of its sweep is called."""
        return f"{next(iter(self.sweep))}={value}"

    def settings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """A label, `setting=value` or empty, and the settings of each point of the sweep."""
        if not self.sweep:
            yield "", self.guidance
        for name, values in self.sweep.items():
            for value in values:
                yield self.label(value), self.guidance | {name: value}


class GuidanceStudySettings(Section):
    """What a study's YAML may say. Unknown keys are refused."""

    title: str = ""
    spaces: dict[Name, Path] = Field(
        min_length=1, description="YAML of each trained experiment, beside this one's, by name"
    )
    methods: Path = Field(description="YAML of the methods, beside this one")
    sweeps: dict[Name, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="values in place of those of a method's sweep, by method"
    )
    shown: dict[Name, dict[Name, Any]] = Field(
        {}, description="by space and method, the one value of its sweep that short tables show"
    )
    members: int = Field(64, gt=1, description="states drawn at each point")
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1)

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("the same seed draws the same ensemble; give different ones")
        return self


class Methods(Section):
    """A YAML of methods."""

    methods: dict[Name, Method] = Field(min_length=1)


@dataclass(frozen=True)
class Point:
    """One ensemble: a method with its settings, in a space, from one seed."""

    space: str
    method: str
    label: str
    seed: int
    experiment: Experiment

    @property
    def name(self) -> str:
        """Names the point's files."""
        parts = (self.space, self.method, self.label, f"seed_{self.seed}")
        return re.sub(r"[^\w.=-]+", "_", "-".join(part for part in parts if part))


@dataclass(frozen=True)
class GuidanceStudy:
    """A study that was checked: every point is a complete experiment."""

    name: str
    settings: GuidanceStudySettings
    directory: Path
    methods: dict[str, Method]
    points: list[Point]

    @property
    def shown(self) -> dict[str, dict[str, str]]:
        """By space, the labels of the points that stand for a swept method in short tables."""
        return {
            space: {name: self.methods[name].label(value) for name, value in chosen.items()}
            for space, chosen in self.settings.shown.items()
        }


def load_guidance_study(path: Path, overrides: Sequence[str] = ()) -> GuidanceStudy:
    """Read a study with its methods and experiments, and check every point of it.

    Raises `UserError` for unknown keys or wrong values, in any of the files.
    """
    settings = checked(
        read_settings(path, overrides), GuidanceStudySettings, source=str(path), example=EXAMPLE
    )
    methods_path = path.parent / settings.methods
    methods = checked(
        {"methods": read_settings(methods_path)}, Methods, source=str(methods_path), example=EXAMPLE
    ).methods
    methods |= {
        name: _swept(methods, name, values, source=str(path))
        for name, values in settings.sweeps.items()
    }
    for shown in settings.shown.values():
        _check_shown(shown, methods, source=str(path))
    points: list[Point] = []
    for space, base in settings.spaces.items():
        content = read_experiment(path.parent / base)
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
    """Raises `UserError` for a point that short tables cannot show, because it is not drawn."""
    for name, value in shown.items():
        method = methods.get(name, Method())
        swept = [value for values in method.sweep.values() for value in values]
        if value not in swept:
            raise UserError(
                f"{source}: short tables are to show {name} at {value}, which is not drawn; its "
                f"sweep has {', '.join(map(str, swept)) or 'no values'}"
            )


def _swept(methods: dict[str, Method], name: str, values: list[Any], *, source: str) -> Method:
    """A method with a study's own values for its sweep."""
    if name not in methods or not methods[name].sweep:
        swept = ", ".join(known for known, method in methods.items() if method.sweep)
        raise UserError(f"{source}: sweeps.{name} is no method with a sweep; those are {swept}")
    return methods[name].with_values(values)


def _experiment(
    content: dict[str, Any],
    guidance: dict[str, Any],
    settings: GuidanceStudySettings,
    seed: int,
    source: str,
) -> Experiment:
    """The trained experiment with another guidance, from the schema's defaults, and sampling."""
    sampling = {"sampling": {"members": settings.members, "seed": seed}}
    changed = merged(content, sampling) | {"guidance": guidance}
    return checked(changed, Experiment, source=source)
